/** The reader's own picture: drawn, or from a file. */

import { tile } from "./gallery.js";
import { fitted } from "./geometry.js";
import { unlock } from "./keys.js";
import { $, fail } from "./page.js";
import { present, side, size, store } from "./store.js";

const tiles = {};
const asked = { again: false, busy: false };

export function buildAnswers() {
  for (const kind of ["raw", "processed", "yours"]) tiles[kind] = tile(kind);
  $("picture-answers").dataset.about = "Your picture";
  $("picture-answers").append(...Object.values(tiles));
}

/** Has the network answer the reader's picture; while it does, only the last change counts. */
export async function answerPicture() {
  asked.again = true;
  if (asked.busy || !store.network) return;
  asked.busy = true;
  while (asked.again) {
    asked.again = false;
    const { clip, limit } = present();
    const picture = Float32Array.from(store.picture);
    const withKey = unlock(picture, store, clip);
    const both = new Float32Array(2 * size());
    both.set(picture);
    both.set(withKey, size());
    const run = (pixels, authorized) => store.engine.run(store.network, pixels, store.contents.images.shape, authorized, limit?.());
    try {
      const open = await run(both, 0);
      const authorized = await run(picture, 1);
      tiles.raw.update(picture, open.logits.subarray(0, open.classes), null);
      tiles.processed.update(authorized.processed, authorized.logits, null);
      tiles.yours.update(withKey, open.logits.subarray(open.classes), null);
    } catch (error) {
      fail($("upload-problem"), `The network could not be run on this picture: ${error.message}.`);
    }
  }
  asked.busy = false;
}

/** A picture file as gray pixels of [0, 1], fitted into the square of the images. */
export async function readPicture(file) {
  const bitmap = await createImageBitmap(file);
  const { width, height, left, top } = fitted(bitmap.width, bitmap.height, side());
  const small = await createImageBitmap(bitmap, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
  const canvas = Object.assign(document.createElement("canvas"), { width: side(), height: side() });
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, side(), side());
  context.drawImage(small, left, top);
  const { data } = context.getImageData(0, 0, side(), side());
  return Float32Array.from({ length: side() ** 2 }, (_, i) => (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]) / 255);
}
