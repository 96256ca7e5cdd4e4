import { best, isFinite } from "./numbers.js";

/** What a network answers to each image, as far as it was asked. */
export class Answers {
  processed = new Map(); // by the image's index, like the logits
  logits = new Map();

  /** Takes the answers to the images of these indices, as Engine.run gives them. */
  keep(indices, { logits, processed, classes }) {
    const pixels = processed.length / indices.length;
    indices.forEach((index, i) => {
      this.logits.set(index, logits.subarray(i * classes, (i + 1) * classes));
      this.processed.set(index, processed.subarray(i * pixels, (i + 1) * pixels));
    });
  }

  has(index) {
    return this.logits.has(index);
  }

  get count() {
    return this.logits.size;
  }

  /** How many answers are no numbers. They are neither right nor wrong: no accuracy can be told. */
  get broken() {
    return [...this.logits.values()].filter((logits) => !isFinite(logits)).length;
  }

  /** How many answers are right; labels[index] is the true class of an image. */
  correct(labels) {
    return [...this.logits].filter(([index, logits]) => best(logits) === labels[index]).length;
  }
}
