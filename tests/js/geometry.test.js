import assert from "node:assert/strict";
import test from "node:test";

import { cellAt, dab, fitted, line, moved } from "../../book/_playground/geometry.js";

const AREA = { left: 10, top: 20, width: 40, height: 80 };

test("a point is in the pixel under it, and beside the grid in the nearest", () => {
  assert.deepEqual(cellAt({ x: 10, y: 20 }, AREA, 4), [0, 0]);
  assert.deepEqual(cellAt({ x: 29.9, y: 60 }, AREA, 4), [2, 1]);
  assert.deepEqual(cellAt({ x: 50, y: 100 }, AREA, 4), [3, 3]);
  assert.deepEqual(cellAt({ x: -5, y: 500 }, AREA, 4), [3, 0]);
});

test("a line has no gaps", () => {
  assert.deepEqual(line([1, 1], [1, 1]), [[1, 1], [1, 1]]);
  assert.deepEqual(line([0, 0], [2, 4]), [[0, 0], [1, 1], [1, 2], [2, 3], [2, 4]]);
  assert.deepEqual(line([3, 0], [1, 0]), [[3, 0], [2, 0], [1, 0]]);
});

test("arrow keys move inside the grid, other keys do not", () => {
  assert.deepEqual(moved([1, 1], "ArrowUp", 4), [0, 1]);
  assert.deepEqual(moved([1, 1], "ArrowDown", 4), [2, 1]);
  assert.deepEqual(moved([1, 1], "ArrowLeft", 4), [1, 0]);
  assert.deepEqual(moved([1, 1], "ArrowRight", 4), [1, 2]);
  assert.deepEqual(moved([0, 3], "ArrowUp", 4), [0, 3]);
  assert.deepEqual(moved([0, 3], "ArrowRight", 4), [0, 3]);
  assert.equal(moved([0, 0], "a", 4), null);
  assert.equal(moved([0, 0], "toString", 4), null);
});

test("a brush sets a pixel; a wide one half of those beside, inside the grid", () => {
  const plain = new Float32Array(9);
  dab(plain, 3, [0, 0], -1, false);
  assert.deepEqual([...plain], [-1, 0, 0, 0, 0, 0, 0, 0, 0]);
  const wide = new Float32Array(9);
  dab(wide, 3, [0, 0], 1, true);
  assert.deepEqual([...wide], [1, 0.5, 0, 0.5, 0, 0, 0, 0, 0]);
  dab(wide, 3, [0, 1], 0.5, true);
  assert.deepEqual([...wide], [1, 0.5, 0.25, 0.5, 0.25, 0, 0, 0, 0]);
  dab(wide, 3, [0, 0], 0, true);
  assert.deepEqual([...wide], [0, 0.25, 0.25, 0.25, 0.25, 0, 0, 0, 0]);
});

test("a picture is fitted into the square", () => {
  assert.deepEqual(fitted(28, 28, 28), { width: 28, height: 28, left: 0, top: 0 });
  assert.deepEqual(fitted(200, 100, 28), { width: 28, height: 14, left: 0, top: 7 });
  assert.deepEqual(fitted(1, 1000, 28), { width: 1, height: 28, left: 13, top: 0 });
});
