import assert from "node:assert/strict";
import test from "node:test";

import { drawSigns } from "../../book/_playground/random.js";

// np.random.default_rng(np.random.SeedSequence(SEED).spawn(DRAW + 1)[DRAW]).random(12); −1 where u < p, 1 where u ≥ 1 − p
const NUMPY = {
  "p = 0.2, seed 1, number 0": [0.2, 1, 0, [0, -1, 0, 0, -1, 1, -1, 1, 0, 0, 0, -1, 0, -1, 0, 0, 1, 0, 0, 0, 1, -1, 1, 0]],
  "p = 0.35, seed 12, number 3": [0.35, 12, 3, [0, 0, 1, -1, 0, 0, 1, 0, 1, -1, 0, 1, 0, 1, 0, 1, -1, 0, 1, -1, 1, -1, 1, 1]],
  "p = 0.5, seed 4294967295, number 4294967295": [0.5, 4294967295, 4294967295, [1, 1, -1, -1, 1, -1, 1, 1, -1, 1, -1, -1, -1, 1, 1, 1, 1, 1, 1, -1, -1, -1, 1, -1]],
  "p = 0.05, seed 0, number 5": [0.05, 0, 5, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
};

for (const [name, [p, seed, draw, signs]] of Object.entries(NUMPY)) {
  test(`signs are those of NumPy: ${name}`, () => assert.deepEqual([...drawSigns(signs.length, p, seed, draw)], signs));
}

test("the same seed and number give the same key, another number another one", () => {
  assert.deepEqual(drawSigns(784, 0.2, 7, 0), drawSigns(784, 0.2, 7, 0));
  assert.notDeepEqual(drawSigns(784, 0.2, 7, 0), drawSigns(784, 0.2, 7, 1));
});
