/** The thief's own score of a network's answers, and slopes of functions of the logits. Pure functions. */

/** Logarithms of the softmax. */
export function logSoftmax(logits) {
  const most = Math.max(...logits);
  const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0)) + most;
  return Array.from(logits, (logit) => logit - total);
}

/** For each image the log q of its classes; and the logarithms of the mean q, over all images. */
function probabilities(answers) {
  const logs = answers.map(logSoftmax);
  const means = logs[0].map((_, k) => logs.reduce((sum, log) => sum + Math.exp(log[k]), 0) / logs.length);
  return { logs, logMean: means.map((mean) => Math.log(Math.max(mean, Number.MIN_VALUE))) };
}

const dot = (q, values) => q.reduce((sum, log, k) => sum + Math.exp(log) * values[k], 0);

/**
 * The mutual information of image and answer, in nats, as ap.attacks.information. It needs no label.
 * @param {ArrayLike<number>[]} answers logits, an array for each image
 */
export function information(answers) {
  const { logs, logMean } = probabilities(answers);
  return logs.reduce((sum, log) => sum + dot(log, log), 0) / logs.length - dot(logMean, logMean);
}

/** The gradient of that score in the logits: n·K numbers. By the chain rule it is q (a − q·a) / n with a = log q − log mean q. */
export function informationSlope(answers) {
  const { logs, logMean } = probabilities(answers);
  return Float32Array.from(logs.flatMap((log) => {
    const a = log.map((value, k) => value - logMean[k]);
    const average = dot(log, a);
    return a.map((value, k) => (Math.exp(log[k]) * (value - average)) / logs.length);
  }));
}

/** The gradient of the cross-entropy of each image in its logits: q, minus 1 at the true class. There it is minus the rest, which is not rounded to 0. */
export function crossEntropySlope(answers, labels) {
  return Float32Array.from(answers.flatMap((logits, i) => {
    const q = logSoftmax(logits).map(Math.exp);
    q[labels[i]] = 0;
    q[labels[i]] = -q.reduce((sum, value) => sum + value, 0);
    return q;
  }));
}
