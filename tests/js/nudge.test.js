import assert from "node:assert/strict";
import test from "node:test";

import { nudged, plan } from "../../book/_playground/nudge.js";

const near = (found, expected) => found.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-9, `${found} is not ${expected}`));

test("a step follows the sign of the gradient", () => {
  const start = [0.5, 0.5, 0.5];
  near(nudged(start, [3, -0.001, 0], 0.1, 0.2, start), [0.6, 0.4, 0.5]);
});

test("no pixel goes further than ε from where it began, nor out of the gray levels", () => {
  const start = [0.5, 0.05, 0.95, -0.1, 1.2]; // the last two are of a key that nobody clipped
  near(nudged([0.55, 0, 1, -0.1, 1.2], [1, -1, 1, -1, 1], 0.1, 0.1, start), [0.6, 0, 1, -0.1, 1.2]);
});

test("PGD reaches the edge from anywhere, in small steps", () => {
  assert.deepEqual(plan("fgsm", 0.1), { steps: 1, size: 0.1 });
  const { steps, size } = plan("pgd", 0.1);
  assert.ok(steps === 10 && Math.abs(size - 0.025) < 1e-12);
});
