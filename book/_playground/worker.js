/**
 * Runs the networks, beside the page and never in its way.
 *
 * A message {id, task, options} is answered by {id, started} once it is its turn, by {id, result} or
 * {id, error} at the end, and on the way by any number of {id, received}: bytes, for the progress bar.
 * Tasks are done one after the other.
 */

import { badAnswer, misfit } from "./trial.js";

let ort = null;
const sessions = new Map();
const insides = new Map(); // the same networks with the nodes that give gradients and feature maps

/** Fetches a file and tells of its progress. Errors say what was asked for and what came. */
async function download(url, progress) {
  let response;
  try {
    response = await fetch(url);
  } catch {
    throw new Error(`${url} could not be fetched: the server does not answer`);
  }
  if (!response.ok) throw new Error(`${url} could not be fetched: the server says ${response.status} ${response.statusText}`);
  const parts = [];
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    progress(value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Raw pixels [n, C, H, W] through a network. */
function answer(session, pixels, shape, authorized) {
  const images = new ort.Tensor("float32", pixels, [pixels.length / shape.reduce((a, b) => a * b), ...shape]);
  return session.run({ images, authorized: new ort.Tensor("float32", Float32Array.of(authorized), []) });
}

/** Throws an Error unless the network answers a batch of gray images, and one alone, as it must. */
async function tryOut(session, { count, shape, classes }) {
  for (const [n, authorized] of [[count, 0], [1, 1]]) {
    const pixels = new Float32Array(n * shape.reduce((a, b) => a * b)).fill(0.5);
    let outputs;
    try {
      outputs = await answer(session, pixels, shape, authorized);
    } catch (error) {
      throw new Error(`it cannot be run on ${n} ${n === 1 ? "image" : "images"} of ${shape.join("×")} (${error.message ?? error})`);
    }
    const reason = badAnswer(outputs, { count: n, shape, classes });
    if (reason) throw new Error(reason);
  }
}

const tasks = {
  /** Loads onnxruntime-web from a folder. */
  async engine({ folder }, progress) {
    if (ort) return;
    const binary = await download(`${folder}ort-wasm-simd-threaded.wasm`, progress);
    const runtime = await import(`${folder}ort.wasm.min.mjs`);
    runtime.env.wasm.numThreads = 1; // more of them need headers that a plain file server does not send
    runtime.env.wasm.wasmPaths = { mjs: `${folder}ort-wasm-simd-threaded.mjs` };
    runtime.env.wasm.wasmBinary = binary;
    ort = runtime;
  },

  /** Any other file, as bytes. */
  file: ({ url }, progress) => download(url, progress),

  /** Loads a network from a url or from the bytes of a file, and tries it. */
  async network({ name, url, bytes, expected }, progress) {
    if (!ort) throw new Error("onnxruntime-web could not be loaded");
    const file = bytes ?? (await download(url, progress));
    let session;
    try {
      session = await ort.InferenceSession.create(file);
    } catch (error) {
      if (!bytes) throw error;
      throw new Error(`it is no ONNX file, or a damaged one (${error.message ?? error})`);
    }
    const shape = session.inputMetadata.find((input) => input.name === "images")?.shape ?? [];
    const reason = misfit({ inputs: session.inputNames, outputs: session.outputNames, shape }, expected.shape);
    if (reason) throw new Error(reason);
    await tryOut(session, expected);
    sessions.set(name, session);
  },

  /** Logits [n, classes] and processed pixels, as they lie in memory. */
  async run({ name, pixels, shape, authorized }) {
    const { logits, processed } = await answer(sessions.get(name), pixels, shape, authorized);
    return { logits: Float32Array.from(logits.data), processed: Float32Array.from(processed.data), classes: logits.dims[1] };
  },
};

Object.assign(tasks, {
  /** Loads a network once more, with the fragment that shows its inside: its bytes follow those of the network. */
  async inside({ name, url, fragment }, progress) {
    const parts = [await download(url, progress), await download(fragment, progress)];
    insides.set(name, await ort.InferenceSession.create(new Uint8Array(await new Blob(parts).arrayBuffer())));
  },

  /** The gradient in the pixels [n, C, H, W] of a function whose slopes in the logits [n, classes] are given. */
  async gradient({ name, pixels, shape, slopes }) {
    const { gradient } = await open(name, pixels, shape, slopes, ["gradient"]);
    return Float32Array.from(gradient.data);
  },

  /** What a layer makes of raw pixels: feature maps, [n, maps, height, width] in dims. */
  async maps({ name, pixels, shape, classes, layer }) {
    const count = pixels.length / shape.reduce((a, b) => a * b);
    const found = (await open(name, pixels, shape, new Float32Array(count * classes), [layer]))[layer];
    return { data: Float32Array.from(found.data), dims: [...found.dims] };
  },
});

/** Runs the inside of a network on pixels that are not processed any more. */
function open(name, pixels, shape, slopes, outputs) {
  const count = pixels.length / shape.reduce((a, b) => a * b);
  const tensor = (data, dims) => new ort.Tensor("float32", data, dims);
  const feeds = {
    images: tensor(pixels, [count, ...shape]),
    authorized: tensor(Float32Array.of(0), []),
    slope: tensor(slopes, [count, slopes.length / count]),
  };
  return insides.get(name).run(feeds, outputs);
}

let before = Promise.resolve();
self.onmessage = ({ data: { id, task, options } }) => {
  const progress = (received) => self.postMessage({ id, received });
  before = before.then(async () => {
    self.postMessage({ id, started: true });
    try {
      self.postMessage({ id, result: await tasks[task](options, progress) });
    } catch (error) {
      self.postMessage({ id, error: error.message ?? String(error) });
    }
  });
};
