/** Keys on pixels. Pure functions. */

/** An image with a key on it, clipped if the owner clips. signs: −1, 0 or 1 for each pixel. */
export function unlock(pixels, signs, sigma, clip) {
  return pixels.map((value, i) => {
    const sum = value + sigma * signs[i];
    return clip ? Math.min(1, Math.max(0, sum)) : sum;
  });
}

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
