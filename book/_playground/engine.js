/** The page's side of the worker: every call is a promise. */
export class Engine {
  #worker;
  #waiting = new Map();
  #last = 0;

  constructor() {
    this.#worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => {
      const call = this.#waiting.get(data.id);
      if (data.received !== undefined) return call.onProgress?.(data.received);
      this.#waiting.delete(data.id);
      return data.error === undefined ? call.resolve(data.result) : call.reject(new Error(data.error));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const error = new Error(event.message || "the script of the worker could not be loaded");
      for (const call of this.#waiting.values()) call.reject(error);
      this.#waiting.clear();
    };
  }

  #call(task, options, onProgress) {
    return new Promise((resolve, reject) => {
      const id = ++this.#last;
      this.#waiting.set(id, { resolve, reject, onProgress });
      this.#worker.postMessage({ id, task, options });
    });
  }

  /** Loads onnxruntime-web. onProgress is told of bytes as they come, here and below. */
  start(folder, onProgress) {
    return this.#call("engine", { folder }, onProgress);
  }

  /** The bytes of a file. */
  file(url, onProgress) {
    return this.#call("file", { url }, onProgress);
  }

  /** Loads a network, from {url} or {bytes}; resolves to the shape of its images, [C, H, W]. */
  load(name, source, onProgress) {
    return this.#call("network", { name, ...source }, onProgress);
  }

  /**
   * @param {string} name of a loaded network
   * @param {Float32Array} pixels of raw images, n·C·H·W of them
   * @param {number} authorized 0 for raw, 1 for processed by the owner's transform
   * @returns {Promise<{logits: Float32Array, processed: Float32Array, classes: number}>}
   */
  run(name, pixels, shape, authorized) {
    return this.#call("run", { name, pixels, shape, authorized });
  }

  close() {
    this.#worker.terminate();
  }
}
