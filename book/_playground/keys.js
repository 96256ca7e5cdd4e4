/** Keys on pixels. Pure functions. */

/**
 * An image with a key on it and another brightness, clipped if the owner clips.
 * @param {{signs: ArrayLike<number>, sigma: number, brightness: number}} key signs: one for each pixel, −1, 0 or 1
 *   as long as the key is drawn, any numbers if it was found by climbing or in a pair
 */
export function unlock(pixels, { signs, sigma, brightness = 0 }, clip) {
  return pixels.map((value, i) => {
    const sum = value + sigma * signs[i] + brightness;
    return clip ? Math.min(1, Math.max(0, sum)) : sum;
  });
}

/** What a reader's choice of a key consists of, copied from wherever it stands. */
export const copied = ({ sigma, p, seed, draw, signs, edited, found, brightness }) => ({
  sigma, p, seed, draw, edited, found, brightness, signs: Float32Array.from(signs),
});

/** Some images one after the other, each as `change` makes it. image: a function from an index to pixels. */
export function gather(indices, image, change = (pixels) => pixels) {
  const parts = indices.map((index) => change(image(index)));
  const pixels = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let from = 0;
  for (const part of parts) {
    pixels.set(part, from);
    from += part.length;
  }
  return pixels;
}

/** A number that the reader typed as a seed or as the number of a key: a whole one of 32 bits. */
export const wholeNumber = (text) => Math.min(2 ** 32 - 1, Math.max(0, Math.floor(Number(text) || 0)));
