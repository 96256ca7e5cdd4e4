/**
 * The playground: loads what it needs, and puts its parts together. `window.playground` is for tests and
 * for the curious.
 */

import { CLIMB, openInside, scoreAndGradient } from "./climb.js";
import { build } from "./controls.js";
import { Engine } from "./engine.js";
import { others } from "./gallery.js";
import { gather } from "./keys.js";
import { fromAddress } from "./link.js";
import { choose, LIMIT, load, register } from "./networks.js";
import { megabytes } from "./numbers.js";
import { $ } from "./page.js";
import { image, present, size, store } from "./store.js";

/** Called by start.js. Throws an Error whose message is for the reader; it can be called again. */
export async function start(folder) {
  const engine = new Engine();
  Object.assign(store, { folder, engine });
  let asked = null; // by the address
  store.networks.clear();
  $("network").replaceChildren();
  try {
    const contents = JSON.parse(new TextDecoder().decode(await engine.file(`${folder}playground.json`)));
    store.contents = contents;
    asked = { network: "fixed", ...fromAddress(location.search, contents.networks.map(({ name }) => name)) };
    const first = contents.networks.find((network) => network.name === asked.network);
    const binary = Object.entries(contents.engine).find(([name]) => name.endsWith(".wasm"))[1];
    const progress = progressOf(binary.bytes + contents.images.bytes + first.bytes);
    await engine.start(new URL("../vendor/onnxruntime/", folder).href, progress);
    const bytes = await engine.file(folder + contents.images.file, progress);
    const pixels = contents.images.count * size();
    store.images = Float32Array.from(bytes.subarray(0, pixels), (value) => value / 255);
    store.labels = bytes.slice(pixels);
    register();
    await load(asked.network, progress);
  } catch (error) {
    engine.close();
    $("loading").hidden = true;
    throw error;
  }
  const { network, ...key } = asked;
  Object.assign(store, { sigma: store.contents.sigma, p: store.contents.p, ...key });
  for (const part of document.querySelectorAll("[data-pg]")) part.hidden = false;
  build();
  window.playground = api;
  others(0);
  // the button that has the focus goes; whoever went elsewhere meanwhile stays there
  const focused = $("start").contains(document.activeElement);
  $("start").hidden = true;
  if (focused) $("network").focus({ preventScroll: true });
  await choose(network);
}

function progressOf(total) {
  let received = 0;
  $("loading").hidden = false;
  $("progress").max = total;
  return (bytes) => {
    received += bytes;
    $("progress").value = received;
    $("received").textContent = `${megabytes(received)} of ${megabytes(total)}, unpacked`;
  };
}

const api = {
  LIMIT,

  /** Resolves once everything is measured that the present choices ask for; to false if it went wrong. */
  async settled() {
    let last;
    do last = store.settled;
    while ((await last, last !== store.settled));
    return last;
  },

  /**
   * The logits of a shipped network, one array for each image.
   * @param {string} name baseline, fixed, learned or generator; it is fetched if need be
   * @param {number[]} indices of images of this page, 0 … 255
   * @param {number[] | null} key to add to the raw pixels, C·H·W numbers, or null
   * @param {number} authorized 1: processed by the owner's transform; 0: not
   */
  async logits(name, indices, key = null, authorized = 0) {
    await load(name);
    const pixels = gather(indices, image, key ? (raw) => raw.map((value, i) => value + key[i]) : undefined);
    const { logits, classes } = await store.engine.run(name, pixels, store.contents.images.shape, authorized);
    return indices.map((_, i) => Array.from(logits.subarray(i * classes, (i + 1) * classes)));
  },

  CLIMB,

  /** The thief's score of a network's answers to images with a perturbation, and its gradient: {score, gradient}. */
  async gradient(name, indices, delta) {
    await load(name);
    await openInside(name);
    const { score, gradient } = await scoreAndGradient(name, indices, delta, 1);
    return { score, gradient: Array.from(gradient) };
  },

  /** The present key: what is added to each pixel, without the clipping of some owners. */
  key: () => Array.from(store.signs, (sign) => store.sigma * sign + store.brightness),

  /** What the page shows: the network's name, [correct, count] for each kind of input, and all tries. */
  shown() {
    const pair = (answers) => [answers.correct(store.labels), answers.count];
    const { authorized, raw, tries } = present();
    const each = (what) => [...tries.values()].map((one) => one[what]);
    return {
      network: store.network, authorized: pair(authorized), unauthorized: pair(raw), yours: pair(store.yours),
      tries: each("accuracy"), scores: each("score"),
    };
  },
};
