/** Networks: those of this book, and those of the reader's files. */

import { Answers } from "./answers.js";
import { measure } from "./measure.js";
import { megabytes } from "./numbers.js";
import { $, fail } from "./page.js";
import { showRecord, showTries } from "./scores.js";
import { store } from "./store.js";
import { ownName } from "./trial.js";

const TITLES = { baseline: "Baseline, no protection", fixed: "Fixed key", learned: "Learned perturbation", generator: "Generator", mended: "Fixed key, mended lock" };
export const LIMIT = { own: 20_000 }; // milliseconds that a reader's network may take for a batch

/** Lists the networks of this book. */
export function register() {
  for (const network of store.contents.networks) {
    const title = TITLES[network.name];
    const source = { url: store.folder + network.file };
    store.networks.set(network.name, { ...network, title, source, loaded: null });
    $("network").add(new Option(title, network.name));
  }
}

/** Loads a network once; a load that failed is tried anew. */
export function load(name, onProgress) {
  const network = store.networks.get(name);
  const { images, classes } = store.contents;
  const expected = { count: 16, shape: images.shape, classes: classes.length };
  network.loaded ??= store.engine.load(name, network.source, expected, { onProgress, limit: network.limit?.() }).then(
    () => Object.assign(network, { raw: new Answers(), authorized: new Answers(), tries: new Map() }),
    (error) => {
      network.loaded = null;
      throw error;
    },
  );
  return network.loaded;
}

/** Makes a network the present one; it is fetched if need be. */
export async function choose(name) {
  const network = store.networks.get(name);
  store.wanted = name;
  $("network").value = name;
  $("failed").hidden = true;
  try {
    let received = 0;
    await load(name, (bytes) => {
      received += bytes;
      if (store.wanted === name) $("state").textContent = `${megabytes(received)} of ${megabytes(network.bytes)}`;
    });
  } catch (error) {
    if (store.wanted !== name) return;
    $("state").textContent = "";
    $("network").value = store.network;
    const message = `The network “${network.title}” could not be loaded: ${error.message}. Is the server still running?`;
    fail($("failed"), message, () => choose(name));
    return;
  }
  if (store.wanted !== name) return; // the reader has chosen another meanwhile
  $("state").textContent = "";
  store.network = name;
  store.yours = new Answers();
  showRecord();
  showTries();
  await measure();
}

/** Takes the network of a file, if it can be used; whatever was there stays. */
export async function chooseOwn(file) {
  $("own-problem").hidden = true;
  $("own-state").textContent = `“${file.name}” is being tried …`;
  try {
    const name = ownName(file.name, [...store.networks.keys()]);
    const source = { bytes: new Uint8Array(await file.arrayBuffer()) };
    const title = name.replace("own:", "Yours:");
    store.networks.set(name, { title, own: true, clip: false, bytes: file.size, source, limit: () => LIMIT.own, loaded: null });
    try {
      await load(name);
    } catch (error) {
      store.networks.delete(name);
      throw error;
    }
    $("network").add(new Option(title, name));
    $("own-state").textContent = `“${title}” is now the network of this page.`;
    await choose(name);
  } catch (error) {
    $("own-state").textContent = "";
    const shape = store.contents.images.shape.join(", ");
    fail($("own-problem"), `“${file.name}” does not fit this page: ${error.message}. Write it by ap.export.to_onnx with image_shape=(${shape}).`);
    if (!error.ended) return;
    $("failed").hidden = true; // what was under way ended with the worker, and goes on in a new one
    measure();
  }
}
