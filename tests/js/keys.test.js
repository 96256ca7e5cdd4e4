import assert from "node:assert/strict";
import test from "node:test";

import { gather, unlock, wholeNumber } from "../../book/_playground/keys.js";
import { describe, grouped, keep, pick, summary } from "../../book/_playground/tries.js";

test("a key is added, and clipped where the owner clips", () => {
  const pixels = Float64Array.of(0, 0.5, 1);
  const key = { signs: [-1, 1, 1], sigma: 0.25 };
  assert.deepEqual([...unlock(pixels, key, false)], [-0.25, 0.75, 1.25]);
  assert.deepEqual([...unlock(pixels, key, true)], [0, 0.75, 1]);
  assert.deepEqual([...unlock(pixels, { ...key, brightness: -0.5 }, false)], [-0.75, 0.25, 0.75]);
});

test("images are gathered one after the other, each changed", () => {
  const image = (index) => Float32Array.of(index, index + 0.5);
  assert.deepEqual([...gather([2, 0], image)], [2, 2.5, 0, 0.5]);
  assert.deepEqual([...gather([1], image, (pixels) => pixels.map((value) => -value))], [-1, -1.5]);
});

test("a seed is a whole number of 32 bits", () => {
  const typed = { 7: 7, "3.9": 3, "-1": 0, "": 0, x: 0, 4294967295: 4294967295, "1e12": 4294967295 };
  for (const [text, expected] of Object.entries(typed)) assert.equal(wholeNumber(text), expected, text);
});

const random = { sigma: 0.1, p: 0.2, seed: 1, draw: 3, edited: false, signs: [1, 0] };

test("tries are grouped by σ and p, and keys drawn by hand by σ", () => {
  const tries = new Map();
  keep(tries, random, 0.25);
  keep(tries, { ...random, draw: 4 }, 0.75);
  keep(tries, { ...random, draw: 4 }, 0.75); // again: counts once
  keep(tries, { ...random, sigma: 0.3 }, 0.5);
  keep(tries, { ...random, edited: true }, 0.125);
  keep(tries, { ...random, edited: true, p: 0.4, seed: 9 }, 0.125); // the same pixels: the same key
  keep(tries, { ...random, edited: true, signs: [1, -1] }, 0.375);
  const found = grouped(tries).map(({ tries: members, picked, ...rest }) => ({ ...rest, members: members.length, picked: picked.name }));
  assert.deepEqual(found, [
    { group: "σ = 0.1, p = 0.2", accuracies: [0.25, 0.75], best: 0.75, name: "key 4 of seed 1", mean: 0.5, members: 2, picked: "key 3 of seed 1" },
    { group: "σ = 0.3, p = 0.2", accuracies: [0.5], best: 0.5, name: "key 3 of seed 1", mean: 0.5, members: 1, picked: "key 3 of seed 1" },
    { group: "σ = 0.1, by hand", accuracies: [0.125, 0.375], best: 0.375, name: "a key drawn by hand", mean: 0.25, members: 2, picked: "a key drawn by hand" },
  ]);
});

test("brightness, and what was found by another attack, are groups of their own", () => {
  const bright = { ...random, brightness: -0.025 };
  assert.equal(describe(bright).group, "σ = 0.1, p = 0.2, brightness −0.025");
  assert.deepEqual(describe({ ...bright, edited: true, signs: [0, 0] }), { group: "brightness", name: "brightness −0.025", id: ", brightness −0.025" });
  const none = { ...random, edited: true, signs: [0, 0] };
  assert.deepEqual(describe(none), { group: "brightness", name: "brightness 0", id: ", brightness 0" });
  const tries = new Map();
  for (const brightness of [-0.025, 0, 0.025]) keep(tries, { ...none, brightness }, 0.5);
  assert.match(summary(tries, "brightness", 256), /^brightness: 3 values tried on 256 images each/);
  const climbed = { ...random, edited: true, signs: [0.3, -2], found: { what: "climbing", name: "climb 1 of seed 1", sigma: 0.1 } };
  assert.deepEqual(describe(climbed), { group: "climbing", name: "climb 1 of seed 1", id: "climbing: climb 1 of seed 1" });
  assert.equal(describe({ ...climbed, sigma: 0.2 }).group, "climbing, times 2.00");
});

test("the thief picks the highest score, whatever its accuracy", () => {
  const tries = new Map();
  assert.equal(pick(tries), null);
  keep(tries, random, 0.75, 1.1);
  keep(tries, { ...random, draw: 4 }, 0.5, 1.9);
  keep(tries, { ...random, draw: 5, sigma: 0.3 }, 0.9, 1.5);
  assert.equal(pick(tries).name, "key 4 of seed 1");
  assert.equal(grouped(tries)[0].picked.accuracy, 0.5);
  const said = summary(tries, "σ = 0.1, p = 0.2", 256);
  assert.match(said, /best so far 75\.0% \(key 3 of seed 1\)\. The thief's pick gets 50\.0% \(key 4 of seed 1, score 1\.90\)\.$/);
  const blind = summary(tries, "σ = 0.1, p = 0.2", 256, true);
  assert.ok(blind.endsWith("The thief's pick is key 4 of seed 1, score 1.90.") && !blind.includes("%"), blind);
});

test("keys drawn by hand that differ in a pixel are two", () => {
  const one = describe({ ...random, edited: true, signs: [-1, 1] });
  assert.notEqual(one.id, describe({ ...random, edited: true, signs: [1, -1] }).id);
});

test("a sentence on the group of the present key", () => {
  const tries = new Map();
  assert.equal(summary(tries, "σ = 0.1, p = 0.2", 256), "No key tried on this network yet.");
  keep(tries, random, 0.25);
  assert.equal(summary(tries, "σ = 0.1, p = 0.2", 256), "σ = 0.1, p = 0.2: 1 key tried on 256 images each, mean 25.0%, best so far 25.0% (key 3 of seed 1). The thief's pick gets 25.0% (key 3 of seed 1, score 0.00).");
  keep(tries, { ...random, draw: 5 }, 0.75);
  assert.match(summary(tries, "σ = 0.1, p = 0.2", 256), /2 keys tried .*mean 50.0%, best so far 75.0% \(key 5 of seed 1\)/);
  assert.equal(summary(tries, "σ = 0.2, p = 0.2", 256), "No key with σ = 0.2, p = 0.2 tried on this network yet.");
});
