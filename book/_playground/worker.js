/**
 * Runs the networks, beside the page and never in its way.
 *
 * A message {id, task, options} is answered by {id, result} or {id, error}, and on the way by any number
 * of {id, received}: bytes, for the progress bar. Tasks are done one after the other.
 */

let ort = null;
const sessions = new Map();

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

  /** Loads a network from a url or from the bytes of a file; returns the shape of its images, [C, H, W]. */
  async network({ name, url, bytes }, progress) {
    const session = await ort.InferenceSession.create(bytes ?? (await download(url, progress)));
    const missing = (wanted, found) => wanted.filter((one) => !found.includes(one));
    const lacks = [
      ...missing(["images", "authorized"], session.inputNames).map((one) => `the input "${one}"`),
      ...missing(["logits", "processed"], session.outputNames).map((one) => `the output "${one}"`),
    ];
    if (lacks.length) throw new Error(`it lacks ${lacks.join(", ")}, which ap.export.to_onnx writes`);
    sessions.set(name, session);
    const images = session.inputMetadata.find((input) => input.name === "images");
    return images.shape.slice(1);
  },

  /** Raw pixels [n, C, H, W] in; logits [n, classes] and processed pixels out, as they lie in memory. */
  async run({ name, pixels, shape, authorized }) {
    const images = new ort.Tensor("float32", pixels, [pixels.length / shape.reduce((a, b) => a * b), ...shape]);
    const flag = new ort.Tensor("float32", Float32Array.of(authorized), []);
    const { logits, processed } = await sessions.get(name).run({ images, authorized: flag });
    return { logits: logits.data, processed: processed.data, classes: logits.dims[1] };
  },
};

let before = Promise.resolve();
self.onmessage = ({ data: { id, task, options } }) => {
  const progress = (received) => self.postMessage({ id, received });
  before = before.then(async () => {
    try {
      self.postMessage({ id, result: await tasks[task](options, progress) });
    } catch (error) {
      self.postMessage({ id, error: error.message ?? String(error) });
    }
  });
};
