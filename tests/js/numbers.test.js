import assert from "node:assert/strict";
import test from "node:test";

import { Answers } from "../../book/_playground/answers.js";
import { best, interval, mean, megabytes, percent, probability } from "../../book/_playground/numbers.js";

const near = (found, expected) => assert.ok(Math.abs(found - expected) < 1e-9, `${found} is not ${expected}`);

test("the answer is the class of the largest logit, the first of equals", () => {
  assert.equal(best(Float32Array.of(0, 3, -1)), 1);
  assert.equal(best(Float32Array.of(2, 2)), 0);
  assert.equal(best(Float32Array.of(-5, -4)), 1);
});

test("logits that are no numbers are no answer", () => {
  for (const bad of [NaN, Infinity, -Infinity]) assert.equal(best(Float32Array.of(0, bad, 1)), -1);
});

test("the softmax of the likeliest class, of large logits too", () => {
  near(probability([0, Math.log(3)]), 0.75);
  near(probability([1000, 1000]), 0.5);
});

test("Wilson's interval", () => {
  // (6/10): (0.6 + 3.8416/20 ± 1.96 √(0.024 + 3.8416/400)) / 1.38416
  const half = (1.96 * Math.sqrt(0.024 + 3.8416 / 400)) / 1.38416;
  const [low, high] = interval(6, 10);
  near(low, (0.6 + 0.19208) / 1.38416 - half);
  near(high, (0.6 + 0.19208) / 1.38416 + half);
  near(interval(0, 10)[0], 0);
  near(interval(10, 10)[1], 1);
});

test("texts", () => {
  assert.equal(mean([1, 2, 6]), 3);
  assert.equal(percent(0.1234), "12.3%");
  assert.equal(percent(0.5, 0), "50%");
  assert.equal(megabytes(1_250_000), "1.3 MB");
});

test("answers are kept by image, and broken ones counted", () => {
  const answers = new Answers();
  answers.keep([4, 2], { logits: Float32Array.of(1, 0, 0, 1), processed: Float32Array.of(0.1, 0.2, 0.3, 0.4), classes: 2 });
  assert.deepEqual([...answers.logits.get(2)], [0, 1]);
  assert.deepEqual([...answers.processed.get(4)], [...Float32Array.of(0.1, 0.2)]);
  assert.ok(answers.has(4) && !answers.has(0));
  const labels = [9, 9, 1, 9, 1, 0];
  assert.deepEqual([answers.count, answers.correct(labels), answers.broken], [2, 1, 0]);
  answers.keep([5], { logits: Float32Array.of(NaN, NaN), processed: Float32Array.of(0, 0), classes: 2 });
  assert.deepEqual([answers.count, answers.correct(labels), answers.broken], [3, 1, 1]);
});
