import assert from "node:assert/strict";
import test from "node:test";

import { Adam } from "../../book/_playground/adam.js";
import { drawNoise, shuffled, uniform } from "../../book/_playground/random.js";
import { crossEntropySlope, information, informationSlope } from "../../book/_playground/score.js";

const near = (found, expected, within = 1e-6) => assert.ok(Math.abs(found - expected) < within, `${found} is not ${expected}`);
const one = (k, size = 50) => Array.from({ length: 10 }, (_, i) => (i === k ? size : 0));

test("the score of the chapter's four examples", () => {
  near(information([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((k) => one(k))), Math.log(10));
  near(information(Array(10).fill(one(3))), 0);
  near(information([one(0), one(1)]), Math.log(2));
  near(information(Array(10).fill(one(0, 0))), 0);
  assert.ok(Number.isFinite(information([one(0, 1e4), one(1, -1e4)])), "logits as large as these");
});

const ANSWERS = [[1, -0.5, 2], [0.3, 0, -1], [-2, 1, 0.5], [4, 0, 0]];

/** (f(z + h) − f(z − h)) / 2h for each logit of each image. */
function differences(f) {
  return ANSWERS.flatMap((logits, i) => logits.map((_, k) => {
    const moved = (h) => f(ANSWERS.map((row, j) => row.map((value, l) => value + (i === j && k === l ? h : 0))));
    return (moved(1e-4) - moved(-1e-4)) / 2e-4;
  }));
}

test("its slope in the logits is that of differences", () => {
  const slope = informationSlope(ANSWERS);
  differences(information).forEach((expected, i) => near(slope[i], expected));
});

test("the slope of the cross-entropy, too", () => {
  const labels = [2, 0, 1, 1];
  const loss = (answers) => answers.reduce((sum, logits, i) => sum + Math.log(logits.reduce((all, z) => all + Math.exp(z), 0)) - logits[labels[i]], 0);
  const slope = crossEntropySlope(ANSWERS, labels);
  differences(loss).forEach((expected, i) => near(slope[i], expected));
});

// torch.optim.Adam([x], lr=0.1, maximize=True), x = (1, −2), gradients (1, −3) and then (−0.5, 2)
test("Adam's steps are those of torch", () => {
  const [values, adam] = [Float64Array.of(1, -2), new Adam(2, 0.1)];
  adam.step(values, [1, -3]);
  near(values[0], 1.1);
  near(values[1], -2.1);
  adam.step(values, [-0.5, 2]);
  near(values[0], 1.1266337);
  near(values[1], -2.1144521);
});

test("noise is normal, and the same for the same seed", () => {
  const noise = drawNoise(784, 0.03, 1, 1);
  assert.deepEqual(noise, drawNoise(784, 0.03, 1, 1));
  const average = noise.reduce((a, b) => a + b, 0) / 784;
  const deviation = Math.sqrt(noise.reduce((sum, value) => sum + (value - average) ** 2, 0) / 784);
  assert.ok(Math.abs(average) < 0.005 && Math.abs(deviation - 0.03) < 0.003, `${average}, ${deviation}`);
});

test("shuffling keeps every number", () => {
  const order = shuffled(50, uniform(3, 4));
  assert.notDeepEqual(order, [...order].sort((a, b) => a - b));
  assert.deepEqual([...order].sort((a, b) => a - b), Array.from({ length: 50 }, (_, i) => i));
});
