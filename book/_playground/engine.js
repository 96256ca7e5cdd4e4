/**
 * The page's side of the worker: every call is a promise.
 *
 * A network can run without an end. A call with a limit that takes longer ends the worker; the next call
 * starts a new one, which loads what it needs again.
 */
export class Engine {
  #worker = null;
  #waiting = new Map();
  #last = 0;
  #folder = null; // of onnxruntime-web
  #sources = new Map(); // of the networks that were loaded, by name
  #loaded = new Set(); // those that the present worker has
  #insides = new Set(); // those whose inside it has

  #start() {
    this.#worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#end(new Error(event.message || "the script of the worker could not be loaded"));
    };
  }

  #receive({ id, started, received, error, result }) {
    const call = this.#waiting.get(id);
    if (!call) return;
    if (started) {
      // from here on, for what is asked waits for its turn
      if (call.limit) call.timer = setTimeout(() => this.#overdue(call), call.limit);
    } else if (received !== undefined) call.onProgress?.(received);
    else {
      clearTimeout(call.timer);
      this.#waiting.delete(id);
      if (error === undefined) call.resolve(result);
      else call.reject(new Error(error));
    }
  }

  #overdue(call) {
    const seconds = Math.round(call.limit / 1000);
    const error = new Error(`it did not answer within ${seconds} ${seconds === 1 ? "second" : "seconds"}, and was stopped`);
    call.reject(Object.assign(error, { ended: true })); // the worker, and with it all that waits
    this.#end(new Error("another network was stopped meanwhile"));
  }

  /** Ends the worker and every call that waits for it. */
  #end(error) {
    this.#worker?.terminate();
    this.#worker = null;
    this.#loaded.clear();
    this.#insides.clear();
    for (const call of this.#waiting.values()) {
      clearTimeout(call.timer);
      call.reject(error);
    }
    this.#waiting.clear();
  }

  #call(task, options, { onProgress, limit } = {}) {
    if (!this.#worker) {
      this.#start();
      if (this.#folder && task !== "engine") this.#call("engine", { folder: this.#folder }).catch(() => {}); // the next call tells
    }
    return new Promise((resolve, reject) => {
      const id = ++this.#last;
      this.#waiting.set(id, { resolve, reject, onProgress, limit });
      this.#worker.postMessage({ id, task, options });
    });
  }

  /** Loads onnxruntime-web. onProgress is told of bytes as they come, here and below. */
  async start(folder, onProgress) {
    await this.#call("engine", { folder }, { onProgress });
    this.#folder = folder;
  }

  /** The bytes of a file. */
  file(url, onProgress) {
    return this.#call("file", { url }, { onProgress });
  }

  /**
   * Loads a network and tries it on some images; rejects if it does not fit them, or takes longer than limit.
   * @param {string} name
   * @param {{url?: string, bytes?: Uint8Array}} source
   * @param {{count: number, shape: number[], classes: number}} expected of a trial batch
   * @param {{onProgress?: (bytes: number) => void, limit?: number}} options limit in milliseconds
   */
  async load(name, source, expected, options) {
    await this.#call("network", { name, ...source, expected }, options);
    this.#sources.set(name, { source, expected });
    this.#loaded.add(name);
  }

  /**
   * @param {string} name of a loaded network
   * @param {Float32Array} pixels of raw images, n·C·H·W of them
   * @param {number} authorized 0 for raw, 1 for processed by the owner's transform
   * @param {number} limit in milliseconds, or undefined
   * @returns {Promise<{logits: Float32Array, processed: Float32Array, classes: number}>}
   */
  async run(name, pixels, shape, authorized, limit) {
    if (!this.#loaded.has(name)) {
      const { source, expected } = this.#sources.get(name);
      await this.load(name, source, expected, { limit });
    }
    return this.#call("run", { name, pixels, shape, authorized }, { limit });
  }

  /** Loads the inside of a network: source holds the addresses of its file and of the fragment that completes it. */
  async open(name, source, onProgress) {
    if (this.#insides.has(name)) return;
    await this.#call("inside", { name, ...source }, { onProgress });
    this.#insides.add(name);
  }

  /**
   * The gradient in the pixels of a function of the logits; the inside must be loaded.
   * @param {Float32Array} slopes of that function in the logits, n·K of them
   */
  gradient(name, pixels, shape, slopes) {
    return this.#call("gradient", { name, pixels, shape, slopes });
  }

  /** What a layer makes of pixels, {data, dims}; the inside must be loaded. layer: the name of its output. */
  maps(name, pixels, shape, classes, layer) {
    return this.#call("maps", { name, pixels, shape, classes, layer });
  }

  close() {
    this.#end(new Error("the playground was closed"));
  }
}
