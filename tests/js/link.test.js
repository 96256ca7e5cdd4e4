import assert from "node:assert/strict";
import test from "node:test";

import { fromAddress, toAddress } from "../../book/_playground/link.js";

const NETWORKS = ["fixed", "learned"];
const state = { network: "learned", sigma: 0.105, p: 0.2, seed: 12, draw: 3, brightness: -0.025 };

test("an address leads back to what it was made from", () => {
  assert.equal(toAddress(state), "?network=learned&sigma=0.105&p=0.2&seed=12&key=3&brightness=-0.025");
  assert.deepEqual(fromAddress(toAddress(state), NETWORKS), state);
});

test("a reader's own network is not in it", () => {
  assert.equal(fromAddress(toAddress({ ...state, own: true }), NETWORKS).network, undefined);
});

test("what cannot be is left out", () => {
  assert.deepEqual(fromAddress("", NETWORKS), {});
  assert.deepEqual(fromAddress("?network=other&sigma=9&p=x&brightness=&highlight=key", NETWORKS), {});
  assert.deepEqual(fromAddress("?seed=-4&key=2.9&sigma=0.3", NETWORKS), { sigma: 0.3, seed: 0, draw: 2 });
});
