import assert from "node:assert/strict";
import test from "node:test";

import { stuck } from "../../book/_playground/stuck.js";

const RULE = { early: 4, enough: 1 };

test("a climb is stuck if it is still low after a few steps, and judged only then", () => {
  assert.equal(stuck([0.5, 0.6, 0.65, 0.66], RULE), true);
  assert.equal(stuck([0.5, 0.6, 0.65], RULE), false);
  assert.equal(stuck([0.5, 0.6, 0.65, 0.66, 0.66], RULE), false);
});

test("one high step is enough, because each batch has other images", () => {
  assert.equal(stuck([0.5, 0.7, 1.2, 0.9], RULE), false);
  assert.equal(stuck([0.5, 0.6, 0.8, 1], RULE), false);
});
