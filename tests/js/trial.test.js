import assert from "node:assert/strict";
import test from "node:test";

import { badAnswer, misfit, ownName } from "../../book/_playground/trial.js";

const SHAPE = [1, 2, 2];
const fits = { inputs: ["images", "authorized"], outputs: ["logits", "processed"], shape: ["n", 1, 2, 2] };

test("a network that says of itself that it fits", () => {
  assert.equal(misfit(fits, SHAPE), null);
  assert.equal(misfit({ ...fits, shape: ["n", 1, "h", "w"] }, SHAPE), null);
});

test("inputs and outputs that are missing are named", () => {
  assert.match(misfit({ ...fits, inputs: ["x"] }, SHAPE), /^it lacks the input “images”, the input “authorized”: ap\.export/);
  assert.match(misfit({ ...fits, outputs: ["logits"] }, SHAPE), /^it lacks the output “processed”/);
});

test("images of another shape, and a batch that is fixed", () => {
  assert.equal(misfit({ ...fits, shape: ["n", 3, 2, 2] }, SHAPE), "it takes images of 3×2×2, and those of this page are 1×2×2");
  assert.match(misfit({ ...fits, shape: ["n", 4] }, SHAPE), /^it takes images of 4,/);
  assert.match(misfit({ ...fits, shape: [1, 1, 2, 2] }, SHAPE), /^it takes exactly 1 image at a time/);
  assert.match(misfit({ ...fits, shape: [8, 1, 2, 2] }, SHAPE), /^it takes exactly 8 images at a time/);
});

const tensor = (dims, { type = "float32", fill = 0 } = {}) => {
  const length = dims.reduce((a, b) => a * b);
  return { dims, type, data: type === "int64" ? new BigInt64Array(length) : new Float64Array(length).fill(fill) };
};
const expected = { count: 2, shape: SHAPE, classes: 10 };
const answer = (change) => badAnswer({ logits: tensor([2, 10]), processed: tensor([2, 1, 2, 2]), ...change }, expected);

test("an answer that can be used", () => {
  assert.equal(answer({}), null);
  assert.equal(answer({ logits: tensor([2, 10], { type: "float64" }) }), null);
});

test("answers that cannot be used, and why", () => {
  const reasons = {
    "its logits are of type int64, and must be float32": { logits: tensor([2, 10], { type: "int64" }) },
    "its processed images are of type float16, and must be float32": { processed: tensor([2, 1, 2, 2], { type: "float16" }) },
    "it tells 3 classes apart, and the images of this page have 10": { logits: tensor([2, 3]) },
    "it tells 100 classes apart, and the images of this page have 10": { logits: tensor([2, 100]) },
    "its logits have the shape 20 for 2 images, and must have 2×10": { logits: tensor([20]) },
    "its logits have the shape 1×10 for 2 images, and must have 2×10": { logits: tensor([1, 10]) },
    "its processed images have the shape 2×4, and must have 2×1×2×2": { processed: tensor([2, 4]) },
    "its logits hold values that are not numbers (NaN or infinite)": { logits: tensor([2, 10], { fill: NaN }) },
    "its processed images hold values that are not numbers (NaN or infinite)": { processed: tensor([2, 1, 2, 2], { fill: Infinity }) },
  };
  for (const [reason, change] of Object.entries(reasons)) assert.equal(answer(change), reason);
});

test("a second file of one name does not replace the first", () => {
  assert.equal(ownName("mine.onnx", ["fixed"]), "own: mine.onnx");
  assert.equal(ownName("mine.onnx", ["own: mine.onnx"]), "own: mine.onnx (2)");
  assert.equal(ownName("mine.onnx", ["own: mine.onnx", "own: mine.onnx (2)"]), "own: mine.onnx (3)");
});
