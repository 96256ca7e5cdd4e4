/** Keys that were tried on a network, grouped by what they were drawn with. Pure functions. */

import { mean, percent } from "./numbers.js";

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;

/**
 * What identifies a key, and the group it counts in. Keys with another σ or p are another attack, so their
 * accuracies are not thrown together; keys that were drawn by hand have no p, and are a group for each σ.
 * @param {{sigma: number, p: number, seed: number, draw: number, edited: boolean, signs: ArrayLike<number>,
 *   brightness?: number, found?: {what: string, name: string, sigma: number} | null}} key found: what another
 *   attack than guessing has found, and the σ that the slider had then
 */
export function describe({ sigma, p, seed, draw, edited, signs, brightness = 0, found = null }) {
  const light = brightness ? `, brightness ${signed(brightness)}` : "";
  const empty = !Array.from(signs).some(Boolean);
  if (empty && light) return { group: "brightness", name: light.slice(2), id: light };
  if (empty && edited && !found) return { group: "brightness", name: "brightness 0", id: ", brightness 0" };
  let group = edited ? `σ = ${sigma}, by hand` : `σ = ${sigma}, p = ${p}`;
  let name = edited ? "a key drawn by hand" : `key ${draw} of seed ${seed}`;
  if (found) {
    group = found.what + (sigma === found.sigma ? "" : `, times ${(sigma / found.sigma).toFixed(2)}`);
    name = found.name;
  }
  group += light;
  return { group, name, id: `${group}: ${edited && !found ? Array.from(signs).join("") : name}` };
}

/** How a key was found: guess, by hand, brightness, or what another attack is called. */
export function kindOf({ edited, found, brightness, signs }) {
  if (brightness && !Array.from(signs).some(Boolean)) return "brightness";
  if (found) return found.what;
  return edited || brightness ? "by hand" : "guess";
}

/** Adds a try to a Map of tries. One that is made again counts once. score: the thief's own, in nats. */
export function keep(tries, key, accuracy, score = 0) {
  const { id, group, name } = describe(key);
  tries.set(id, { group, name, accuracy, score, key });
}

const highest = (tries, what) => tries.reduce((best, each) => (each[what] > best[what] ? each : best));

/** The try that the thief would pick, who has no labels: that of the highest score. Null without any. */
export const pick = (tries) => (tries.size ? highest([...tries.values()], "score") : null);

/**
 * The groups in the order of their first tries: [{group, tries, accuracies, mean, best, name, picked}], name that of
 * the best, and picked the try in this group that has the highest score.
 */
export function grouped(tries) {
  const groups = new Map();
  for (const each of tries.values()) groups.set(each.group, [...(groups.get(each.group) ?? []), each]);
  return [...groups].map(([group, members]) => {
    const accuracies = members.map(({ accuracy }) => accuracy);
    const { accuracy: best, name } = highest(members, "accuracy");
    return { group, tries: members, accuracies, mean: mean(accuracies), best, name, picked: highest(members, "score") };
  });
}

/** A sentence on the group of the present key. blind: without what only labels tell. */
export function summary(tries, group, images, blind = false) {
  if (!tries.size) return "No key tried on this network yet.";
  const found = grouped(tries).find((each) => each.group === group);
  if (!found) return `No key with ${group} tried on this network yet.`;
  const [count, { picked }] = [found.accuracies.length, found];
  const what = group === "brightness" ? "value" : "key";
  const tried = `${group}: ${count} ${what}${count === 1 ? "" : "s"} tried on ${images} images each`;
  const score = `score ${picked.score.toFixed(2)}`;
  if (blind) return `${tried}. The thief's pick is ${picked.name}, ${score}.`;
  return (
    `${tried}, mean ${percent(found.mean)}, best so far ${percent(found.best)} (${found.name}). ` +
    `The thief's pick gets ${percent(picked.accuracy)} (${picked.name}, ${score}).`
  );
}
