/** What the reader has chosen, as the part of an address after “?”, and back. Pure functions. */

import { wholeNumber } from "./keys.js";

const BOUNDS = { sigma: [0.005, 0.3], p: [0.01, 0.5], brightness: [-0.2, 0.2] };
const COUNTS = { seed: "seed", key: "draw" }; // in the address: in the store

/** The address of a state. A key that was found or drawn by hand is not in it, and neither is a reader's own network. */
export function toAddress({ network, sigma, p, seed, draw, brightness, own }) {
  const values = { ...(own ? {} : { network }), sigma, p, seed, key: draw, brightness };
  return `?${new URLSearchParams(Object.entries(values).map(([name, value]) => [name, String(value)]))}`;
}

/** The part of a state that an address gives: what is not there, or cannot be, is left out. */
export function fromAddress(search, networks) {
  const given = new URLSearchParams(search);
  const state = {};
  if (networks.includes(given.get("network"))) state.network = given.get("network");
  for (const [name, [low, high]] of Object.entries(BOUNDS)) {
    const value = Number.parseFloat(given.get(name));
    if (value >= low && value <= high) state[name] = value;
  }
  for (const [name, inside] of Object.entries(COUNTS)) if (given.has(name)) state[inside] = wholeNumber(given.get(name));
  return state;
}
