/** Adversarial examples: each pixel moves by at most ε, so that the answer becomes wrong. Pure functions. */

/** Pixels after a step along the sign of a gradient, at most ε from where they began; none leaves the range of gray levels. */
export function nudged(pixels, gradient, step, epsilon, start) {
  return pixels.map((value, i) => {
    const moved = value + step * Math.sign(gradient[i]);
    const [low, high] = [Math.max(start[i] - epsilon, Math.min(0, start[i])), Math.min(start[i] + epsilon, Math.max(1, start[i]))];
    return Math.min(high, Math.max(low, moved));
  });
}

/** How many steps a method takes, and how large they are: FGSM one of ε, PGD as ap.adversarial.pgd without a random start. */
export const plan = (method, epsilon) => (method === "pgd" ? { steps: 10, size: (2.5 * epsilon) / 10 } : { steps: 1, size: epsilon });
