import assert from "node:assert/strict";
import test from "node:test";

import { MISSIONS } from "../../book/_playground/missions.js";
import { kindOf } from "../../book/_playground/tries.js";

const keys = (count, kind, accuracy) => Array.from({ length: count }, () => ({ kind, accuracy }));
const base = { kind: "guess", accuracy: 0, blind: false, isPick: false, trying: false, tries: [], found: false };
const withstood = [...keys(20, "guess", 0.01), ...keys(1, "climbing", 0.002)];

// by mission: what is enough, and what is not quite
const CASES = {
  guess: [{ network: "fixed", accuracy: 0.7 }, [{ accuracy: 0.69 }, { accuracy: null }, { kind: "one pair" }, { network: "mended" }, { blind: true }]],
  blind: [
    { network: "fixed", accuracy: 0.65, blind: true, isPick: true, tries: keys(20, "guess", 0.2) },
    [{ blind: false }, { isPick: false }, { trying: true }, { tries: keys(19, "guess", 0.2) }, { kind: "climbing" }, { accuracy: 0.5 }],
  ],
  brightness: [{ network: "generator", kind: "brightness", accuracy: 0.9 }, [{ network: "baseline" }, { kind: "by hand" }, { accuracy: 0.8 }]],
  climb: [{ network: "learned", kind: "climbing", accuracy: 0.9 }, [{ accuracy: 0 }, { network: "fixed" }, { kind: "one pair" }]],
  mended: [
    { network: "mended", kind: "one pair", accuracy: 0.93, tries: withstood },
    [{ tries: withstood.slice(1) }, { tries: withstood.slice(0, 20) }, { tries: [...withstood, ...keys(1, "guess", 0.3)] }, { kind: "the lineup" }],
  ],
  owner: [{ network: "mended", found: true }, [{ found: false }]],
  lock: [{ network: "baseline", accuracy: 0.29 }, [{ accuracy: 0.3 }, { network: "fixed" }, { kind: "brightness" }]],
};

test("every mission has its case, and there are seven", () => {
  assert.deepEqual(MISSIONS.map(({ id }) => id), Object.keys(CASES));
  assert.equal(MISSIONS.length, 7);
});

for (const { id, done, task, hint, lesson } of MISSIONS) {
  test(`the mission ${id} is done when it is, and not before`, () => {
    const [enough, short] = CASES[id];
    assert.equal(done({ ...base, ...enough }), true);
    for (const change of short) assert.equal(done({ ...base, ...enough, ...change }), false, JSON.stringify(change));
    for (const text of [task, hint, lesson]) assert.ok(text.length > 30 && text.endsWith("."), text);
  });
}

test("how a key was found", () => {
  const key = { edited: false, found: null, brightness: 0, signs: [0, 1] };
  assert.equal(kindOf(key), "guess");
  assert.equal(kindOf({ ...key, edited: true }), "by hand");
  assert.equal(kindOf({ ...key, brightness: 0.1 }), "by hand");
  assert.equal(kindOf({ ...key, brightness: 0.1, signs: [0, 0], edited: true }), "brightness");
  assert.equal(kindOf({ ...key, edited: true, found: { what: "climbing" } }), "climbing");
});
