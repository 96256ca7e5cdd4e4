/** Keys that were tried on a network, grouped by what they were drawn with. Pure functions. */

import { mean, percent } from "./numbers.js";

/**
 * What identifies a key, and the group it counts in. Keys with another σ or p are another attack, so their
 * accuracies are not thrown together; keys that were drawn by hand have no p, and are a group for each σ.
 * @param {{sigma: number, p: number, seed: number, draw: number, edited: boolean, signs: ArrayLike<number>}} key
 */
export function describe({ sigma, p, seed, draw, edited, signs }) {
  const group = edited ? `σ = ${sigma}, by hand` : `σ = ${sigma}, p = ${p}`;
  const name = edited ? "a key drawn by hand" : `key ${draw} of seed ${seed}`;
  return { group, name, id: `${group}: ${edited ? Array.from(signs).join("") : name}` };
}

/** Adds a try to a Map of tries. One that is made again counts once. */
export function keep(tries, key, accuracy) {
  const { id, group, name } = describe(key);
  tries.set(id, { group, name, accuracy });
}

/** The groups in the order of their first tries: [{group, accuracies, mean, best, name}], name that of the best. */
export function grouped(tries) {
  const groups = new Map();
  for (const { group, name, accuracy } of tries.values()) {
    const found = groups.get(group) ?? { group, accuracies: [], best: -1, name: "" };
    found.accuracies.push(accuracy);
    if (accuracy > found.best) Object.assign(found, { best: accuracy, name });
    groups.set(group, found);
  }
  return [...groups.values()].map((each) => ({ ...each, mean: mean(each.accuracies) }));
}

/** A sentence on the group of the present key. */
export function summary(tries, group, images) {
  if (!tries.size) return "No key tried on this network yet.";
  const found = grouped(tries).find((each) => each.group === group);
  if (!found) return `No key with ${group} tried on this network yet.`;
  const count = found.accuracies.length;
  return (
    `${group}: ${count} ${count === 1 ? "key" : "keys"} tried on ${images} images each, ` +
    `mean ${percent(found.mean)}, best so far ${percent(found.best)} (${found.name}).`
  );
}
