/** What is computed from logits and counts. Pure functions. */

export const isFinite = (values) => values.every(Number.isFinite);

/** The class of the largest logit, the first one if there are several; −1 if a logit is not a finite number. */
export function best(logits) {
  return isFinite(logits) ? logits.indexOf(Math.max(...logits)) : -1;
}

/** The probability of the likeliest class, by the softmax. */
export function probability(logits) {
  const most = Math.max(...logits);
  return 1 / logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0);
}

/** Wilson's 95% interval, as ap.binomial_interval. */
export function interval(correct, count, z = 1.96) {
  const [share, shrink] = [correct / count, 1 + (z * z) / count];
  const middle = (share + (z * z) / (2 * count)) / shrink;
  const half = (z * Math.sqrt((share * (1 - share)) / count + (z * z) / (4 * count * count))) / shrink;
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

export const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}%`;
export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
