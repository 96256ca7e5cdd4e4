/**
 * The playground: what the reader chooses, what is measured, and how it is shown.
 *
 * Numbers are computed in a worker (engine.js), a few images at a time. A change of the key or of the
 * network makes whatever is under way out of date; it ends after the images that are being computed.
 * `window.playground`, at the end, is for tests and for the curious.
 */

import { Engine } from "./engine.js";
import { Grid } from "./grid.js";
import { blueWhiteRed, grey, histogram, paint } from "./pictures.js";
import { drawSigns } from "./random.js";

const SHOWN = 8; // images in the gallery
const CHUNK = 16; // images at a time: few enough to be done with soon when out of date, enough to lose little time between
const TITLES = { baseline: "Baseline, no protection", fixed: "Fixed key", learned: "Learned key", generator: "Generator" };
const $ = (id) => document.getElementById(`pg-${id}`);

let engine, folder, contents, images, labels, keyGrid, pictureGrid, cards;
const networks = new Map(); // by name
const state = { network: null, shown: [], sigma: 0, p: 0, seed: 1, draw: 0, edited: false, yours: null };

/** What a network answers to each image, as far as it was asked. */
class Answers {
  constructor() {
    this.done = new Uint8Array(contents.images.count);
    this.processed = new Map();
    this.logits = new Map();
  }

  keep(indices, { logits, processed, classes }) {
    const pixels = processed.length / indices.length;
    indices.forEach((index, i) => {
      this.done[index] = 1;
      this.logits.set(index, logits.subarray(i * classes, (i + 1) * classes));
      this.processed.set(index, processed.subarray(i * pixels, (i + 1) * pixels));
    });
  }

  get count() {
    return this.logits.size;
  }

  get correct() {
    let correct = 0;
    for (const [index, logits] of this.logits) correct += Number(best(logits) === labels[index]);
    return correct;
  }
}

const best = (logits) => logits.indexOf(Math.max(...logits));

/** The probability of the likeliest class, by the softmax. */
function probability(logits) {
  const most = Math.max(...logits);
  return 1 / logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0);
}

/** Wilson's 95 % interval, as ap.binomial_interval. */
function interval(correct, count, z = 1.96) {
  const [share, shrink] = [correct / count, 1 + (z * z) / count];
  const middle = (share + (z * z) / (2 * count)) / shrink;
  const half = (z * Math.sqrt((share * (1 - share)) / count + (z * z) / (4 * count * count))) / shrink;
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
const className = (index) => contents.classes[index] ?? `class ${index}`;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

// ---- loading

/** Called by start.js. Throws an Error whose message is for the reader; it can be called again. */
export async function start(where) {
  folder = where;
  engine = new Engine();
  try {
    contents = JSON.parse(new TextDecoder().decode(await engine.file(`${folder}playground.json`)));
    const first = contents.networks.find((network) => network.name === "fixed");
    const binary = Object.entries(contents.engine).find(([name]) => name.endsWith(".wasm"))[1];
    const progress = progressOf(binary.bytes + contents.images.bytes + first.bytes);
    await engine.start(new URL("../vendor/onnxruntime/", folder).href, progress);
    const bytes = await engine.file(folder + contents.images.file, progress);
    const pixels = contents.images.count * size();
    images = Float32Array.from(bytes.subarray(0, pixels), (value) => value / 255);
    labels = bytes.slice(pixels);
    for (const network of contents.networks) {
      networks.set(network.name, { ...network, title: TITLES[network.name], loaded: null });
    }
    await load("fixed", progress);
  } catch (error) {
    engine.close();
    $("loading").hidden = true;
    throw error;
  }
  $("start").hidden = true;
  for (const part of document.querySelectorAll("[data-pg]")) part.hidden = false;
  state.sigma = contents.sigma;
  state.p = contents.p;
  build();
  window.playground = api;
  others(0);
  drawKey();
  await choose("fixed");
  $("network").focus({ preventScroll: true });
}

const size = () => contents.images.shape.reduce((a, b) => a * b);
const side = () => contents.images.shape[2];

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

/** Loads a network once; a load that failed is tried anew. */
function load(name, onProgress) {
  const network = networks.get(name);
  network.loaded ??= engine
    .load(name, network.bytesOfFile ? { bytes: network.bytesOfFile } : { url: folder + network.file }, onProgress)
    .then((shape) => {
      const expected = contents.images.shape;
      if (shape.length !== 3 || shape.some((length, i) => typeof length === "number" && length !== expected[i])) {
        throw new Error(`it takes images of ${shape.join("×")}, and those of this page are ${expected.join("×")}`);
      }
      Object.assign(network, { raw: new Answers(), authorized: new Answers(), tries: new Map() });
    })
    .catch((error) => {
      network.loaded = null;
      throw error;
    });
  return network.loaded;
}

/** Makes a network the present one; it is fetched if need be. */
async function choose(name) {
  const network = networks.get(name);
  state.wanted = name;
  $("network").value = name;
  $("failed").hidden = true;
  try {
    let received = 0;
    await load(name, (bytes) => {
      received += bytes;
      if (state.wanted === name) $("state").textContent = `${megabytes(received)} of ${megabytes(network.bytes)}`;
    });
  } catch (error) {
    if (state.wanted !== name) return;
    $("state").textContent = "";
    $("network").value = state.network;
    fail($("failed"), `The network “${network.title}” could not be loaded: ${error.message}. Is the server still running?`, () => choose(name));
    return;
  }
  if (state.wanted !== name) return; // the reader has chosen another meanwhile
  $("state").textContent = "";
  state.network = name;
  state.yours = new Answers();
  showRecord();
  showTries();
  await measure();
}

/** Shows what went wrong, with a button to try again if there is something to try. */
function fail(element, message, retry) {
  element.textContent = `${message} `;
  element.hidden = false;
  if (!retry) return;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "pg-button", textContent: "Try again" });
  button.addEventListener("click", retry);
  element.append(button);
}

// ---- measuring

let generation = 0;
let settled = Promise.resolve(true);
const underWay = new Set();

/** Has the network answer whatever it was not asked yet; resolves to whether that came to its end. */
function measure() {
  const mine = ++generation;
  settled = measureAll(mine).catch((error) => {
    fail($("failed"), `The network could not be run: ${error.message}.`, measure);
    return false;
  });
  return settled;
}

async function measureAll(mine) {
  const network = networks.get(state.network);
  const yours = state.yours;
  const jobs = [];
  const order = [...new Set([...state.shown, ...labels.keys()])];
  for (let from = 0; from < order.length; from += CHUNK) {
    for (const [answers, authorized] of [[yours, 0], [network.authorized, 1], [network.raw, 0]]) {
      const indices = order.slice(from, from + CHUNK).filter((index) => !answers.done[index]);
      if (indices.length) jobs.push({ from, answers, indices, authorized, withKey: answers === yours });
    }
  }
  // The worker is given the next images before the last ones are shown, so that it need not wait for the page.
  let next = jobs.length ? ask(mine, jobs[0]) : null;
  showScores();
  showGallery();
  for (const [i, job] of jobs.entries()) {
    const now = next;
    next = jobs[i + 1] ? ask(mine, jobs[i + 1]) : null;
    const result = await now;
    if (result) job.answers.keep(job.indices, result);
    if (mine !== generation) return false;
    showScores();
    if (job.from < SHOWN) showGallery();
    if (job.from === 64 && job.withKey) answerPicture();
  }
  if (!state.edited) network.tries.set([state.sigma, state.p, state.seed, state.draw].join("/"), yours.correct / yours.count);
  showTries();
  $("spoken").textContent = `With your key ${yours.correct} of ${yours.count} images are answered rightly.`;
  return true;
}

/** Asks the network, at most twice at a time; resolves to null if this is out of date before it is asked. */
function ask(mine, { indices, authorized, withKey }) {
  const asking = (async () => {
    while (underWay.size >= 2) await Promise.race(underWay);
    if (mine !== generation) return null;
    const asked = engine.run(state.network, gather(indices, withKey), contents.images.shape, authorized);
    const landed = asked.then(() => {}, () => {}).then(() => underWay.delete(landed));
    underWay.add(landed);
    return asked;
  })();
  asking.catch(() => {}); // whoever awaits it is told; nobody may, once it is out of date
  return asking;
}

/** The pixels of some images one after the other, with the reader's key on them if asked for. */
function gather(indices, withKey) {
  const pixels = new Float32Array(indices.length * size());
  indices.forEach((index, i) => {
    const raw = images.subarray(index * size(), (index + 1) * size());
    pixels.set(withKey ? unlock(raw) : raw, i * size());
  });
  return pixels;
}

/** An image with the reader's key on it, clipped if the owner clips. */
function unlock(raw) {
  const { clip } = networks.get(state.network);
  return raw.map((value, i) => {
    const sum = value + state.sigma * keyGrid.values[i];
    return clip ? Math.min(1, Math.max(0, sum)) : sum;
  });
}

// ---- the key

/** Draws the key of the present seed, number and p. */
function drawKey() {
  state.edited = false;
  keyGrid.show(drawSigns(size(), state.p, state.seed, state.draw));
  keyChanged();
}

function keyChanged() {
  $("sigma-value").textContent = state.sigma.toFixed(3);
  $("p-value").textContent = state.p.toFixed(2);
  $("seed").value = state.seed;
  $("draw").value = state.draw;
  if (!state.network) return;
  state.yours = new Answers();
  measure();
}

async function tryTwenty() {
  state.trying = true;
  $("twenty").disabled = true;
  $("stop").disabled = false;
  for (let i = 0; i < 20 && state.trying; i++) {
    state.draw += 1;
    drawKey();
    if (!(await settled)) break; // the reader has changed something
  }
  state.trying = false;
  $("twenty").disabled = false;
  $("stop").disabled = true;
}

// ---- showing

function showScores() {
  const network = networks.get(state.network);
  for (const [what, answers] of [["authorized", network.authorized], ["unauthorized", network.raw], ["yours", state.yours]]) {
    const { correct, count } = answers;
    const [low, high] = count ? interval(correct, count) : [0, 1];
    $(what).innerHTML = count
      ? `<strong>${percent(correct / count)}</strong><span class="pg-bar"><span style="width: ${(100 * correct) / count}%"></span></span>` +
        `<small>${correct} of ${count}${count < contents.images.count ? " so far" : ""}<span class="pg-interval">, 95 %: ${(100 * low).toFixed(0)}–${(100 * high).toFixed(0)}</span></small>`
      : "<strong>…</strong>";
  }
}

function showRecord() {
  const { recorded, own } = networks.get(state.network);
  const phrase = (test) => `${percent(test.accuracy)} of ${test.images.toLocaleString("en")} test images`;
  if (own) $("record").textContent = "Your own network: nothing is recorded of it.";
  else if (recorded.accuracy) {
    $("record").textContent = `The record says: ${phrase(recorded.accuracy)}. A baseline has no transform, so authorized and unauthorized are the same.`;
  } else $("record").textContent = `The record says: authorized ${phrase(recorded.authorized)}, unauthorized ${percent(recorded.unauthorized.accuracy)}.`;
}

/** A picture with a caption. update() takes what to show, and the logits if there was an answer. */
function tile(kind, colour) {
  const figure = Object.assign(document.createElement("div"), { className: "pg-tile" });
  figure.innerHTML = `<canvas role="img"></canvas><span class="pg-kind">${kind}</span><span class="pg-answer"></span>`;
  const [canvas, answer] = [figure.querySelector("canvas"), figure.querySelector(".pg-answer")];
  figure.update = (values, logits, label, note = "…") => {
    paint(canvas, values ?? new Float32Array(size()), side(), colour);
    let text = note;
    answer.className = "pg-answer";
    if (logits) {
      const guess = best(logits);
      const right = guess === label;
      if (label !== null) answer.classList.add(right ? "pg-right" : "pg-wrong");
      text = `${label === null ? "" : right ? "✓ " : "✗ "}${className(guess)}\n${percent(probability(logits), 0)}`;
    }
    answer.textContent = text;
    canvas.setAttribute("aria-label", `${figure.closest("[data-about]")?.dataset.about ?? ""}, ${kind}: ${text}`);
  };
  return figure;
}

function buildGallery() {
  cards = Array.from({ length: SHOWN }, () => {
    const card = document.createElement("article");
    card.className = "pg-card";
    card.innerHTML = '<p class="pg-true"></p><div class="pg-tiles"></div>';
    card.tiles = { raw: tile("raw", grey), processed: tile("processed", grey), change: tile("change", blueWhiteRed), yours: tile("your key", grey) };
    card.querySelector(".pg-tiles").append(...Object.values(card.tiles));
    return card;
  });
  $("gallery").replaceChildren(...cards);
}

function showGallery() {
  const network = networks.get(state.network);
  const difference = (index) => {
    const processed = network.authorized.processed.get(index);
    return processed && processed.map((value, i) => value - images[index * size() + i]);
  };
  const changes = state.shown.map(difference);
  const limit = Math.max(1e-3, ...changes.filter(Boolean).map((change) => change.reduce((most, value) => Math.max(most, Math.abs(value)), 0)));
  state.shown.forEach((index, i) => {
    const { raw, processed, change, yours } = cards[i].tiles;
    const label = labels[index];
    const own = images.subarray(index * size(), (index + 1) * size());
    cards[i].dataset.about = `Image ${index}, ${className(label)}`;
    cards[i].querySelector(".pg-true").textContent = `${className(label)}`;
    raw.update(own, network.raw.logits.get(index), label);
    processed.update(network.authorized.processed.get(index), network.authorized.logits.get(index), label);
    change.update(changes[i]?.map((value) => value / limit), null, label, changes[i] ? "" : "…");
    yours.update(unlock(own), state.yours.logits.get(index), label);
  });
  $("scale").textContent = limit > 1e-3
    ? `Change: the owner's perturbation, ${(1 / limit).toFixed(0)} times amplified. Blue is darker, red brighter; full colour is ±${limit.toFixed(3)} of the range from black to white.`
    : "Change: none, the network has no transform.";
}

/** Shows other images: those from the given place on. */
function others(from) {
  state.shown = Array.from({ length: SHOWN }, (_, i) => (from + i) % contents.images.count);
}

function showTries() {
  const { tries } = networks.get(state.network);
  const accuracies = [...tries.values()];
  const present = state.yours?.count === contents.images.count ? state.yours.correct / state.yours.count : null;
  let text = "No key tried on this network yet.";
  if (accuracies.length) {
    const [key, most] = [...tries].reduce((a, b) => (b[1] > a[1] ? b : a));
    const [sigma, p, seed, draw] = key.split("/");
    text = `${accuracies.length} ${accuracies.length === 1 ? "key" : "keys"} tried on ${contents.images.count} images each: ` +
      `mean ${percent(accuracies.reduce((a, b) => a + b) / accuracies.length)}, best so far ${percent(most)} ` +
      `(key ${draw} of seed ${seed}, σ = ${sigma}, p = ${p}).`;
  }
  $("tries").textContent = text;
  $("histogram").setAttribute("aria-label", `Histogram of the accuracies of all keys tried. ${text}`);
  const { color, fontFamily } = getComputedStyle($("tries"));
  histogram($("histogram"), accuracies, present, { color, fontFamily });
}

// ---- the reader's own picture and network

let pictureAsked = false;
let pictureBusy = false;

/** Has the network answer the reader's picture; while it does, only the last change counts. */
async function answerPicture() {
  pictureAsked = true;
  if (pictureBusy || !state.network) return;
  pictureBusy = true;
  while (pictureAsked) {
    pictureAsked = false;
    const [name, picture] = [state.network, Float32Array.from(pictureGrid.values)];
    const withKey = unlock(picture);
    const both = new Float32Array(2 * size());
    both.set(picture);
    both.set(withKey, size());
    try {
      const open = await engine.run(name, both, contents.images.shape, 0);
      const authorized = await engine.run(name, picture, contents.images.shape, 1);
      const { raw, processed, yours } = pictureTiles;
      raw.update(picture, open.logits.subarray(0, open.classes), null);
      processed.update(authorized.processed, authorized.logits, null);
      yours.update(withKey, open.logits.subarray(open.classes), null);
    } catch (error) {
      fail($("upload-problem"), `The network could not be run on this picture: ${error.message}.`);
    }
  }
  pictureBusy = false;
}

/** A picture file as grey pixels of [0, 1], fitted into the square of the images. */
async function readPicture(file) {
  const bitmap = await createImageBitmap(file);
  const scale = side() / Math.max(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width, bitmap.height].map((length) => Math.max(1, Math.round(length * scale)));
  const small = await createImageBitmap(bitmap, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
  const canvas = Object.assign(document.createElement("canvas"), { width: side(), height: side() });
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, side(), side());
  context.drawImage(small, Math.floor((side() - width) / 2), Math.floor((side() - height) / 2));
  const { data } = context.getImageData(0, 0, side(), side());
  return Float32Array.from({ length: side() ** 2 }, (_, i) => (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]) / 255);
}

const inverted = (values) => values.map((value) => 1 - value);

async function upload(file) {
  if (!file) return;
  $("upload-problem").hidden = true;
  try {
    const picture = await readPicture(file);
    pictureGrid.show($("invert").checked ? inverted(picture) : picture);
    answerPicture();
  } catch {
    fail($("upload-problem"), `“${file.name}” could not be read as a picture. Take a PNG, JPEG or WebP file.`);
  }
}

async function chooseOwn(file) {
  if (!file) return;
  $("own-problem").hidden = true;
  const name = `own: ${file.name}`;
  networks.set(name, { title: `Yours: ${file.name}`, own: true, clip: false, bytes: file.size, loaded: null, bytesOfFile: new Uint8Array(await file.arrayBuffer()) });
  try {
    await load(name);
  } catch (error) {
    networks.delete(name);
    fail($("own-problem"), `“${file.name}” does not fit this page: ${error.message}. Write it by ap.export.to_onnx with image_shape=(${contents.images.shape.join(", ")}).`);
    return;
  }
  if (![...$("network").options].some((option) => option.value === name)) $("network").add(new Option(networks.get(name).title, name));
  await choose(name);
  $("network").scrollIntoView({ block: "center" });
}

// ---- the controls

let pictureTiles;

function build() {
  for (const [name, { title }] of networks) $("network").add(new Option(title, name));
  const when = (id, event, action) => $(id).addEventListener(event, action);
  when("network", "change", (event) => choose(event.target.value));
  buildGallery();
  when("others", "click", () => {
    others(state.shown[SHOWN - 1] + 1);
    measure();
  });

  keyGrid = new Grid($("key"), {
    side: side(), colour: blueWhiteRed,
    brushes: [{ value: 1, name: "+σ", keys: ["+", "=", "p"] }, { value: -1, name: "−σ", keys: ["-", "−", "m"] },
              { value: 0, name: "0", keys: ["0", "Delete", "Backspace"] }],
    onChange: () => {
      state.edited = true;
      keyChanged();
    },
  });
  const chooseBrush = (grid, name) => {
    for (const radio of document.getElementsByName(name)) radio.addEventListener("change", () => (grid.brush = Number(radio.value)));
  };
  chooseBrush(keyGrid, "pg-key-brush");
  when("sigma", "input", (event) => {
    state.sigma = Number(event.target.value);
    keyChanged(); // the signs stay, drawn or by hand
  });
  when("p", "input", (event) => {
    state.p = Number(event.target.value);
    drawKey();
  });
  for (const what of ["seed", "draw"]) {
    when(what, "change", (event) => {
      state[what] = Math.min(2 ** 32 - 1, Math.max(0, Math.floor(Number(event.target.value) || 0)));
      drawKey();
    });
  }
  when("draw-key", "click", () => {
    state.draw += 1;
    drawKey();
  });
  when("clear", "click", () => {
    keyGrid.show(new Float32Array(size()));
    state.edited = true;
    keyChanged();
  });

  when("twenty", "click", tryTwenty);
  when("stop", "click", () => (state.trying = false));
  when("forget", "click", () => {
    networks.get(state.network).tries.clear();
    showTries();
  });

  pictureGrid = new Grid($("picture"), {
    side: side(), colour: grey, wide: true,
    brushes: [{ value: 1, name: "white", keys: ["1"] }, { value: 0.5, name: "grey", keys: ["2"] },
              { value: 0, name: "black", keys: ["0", "Delete", "Backspace"] }],
    onChange: answerPicture,
  });
  chooseBrush(pictureGrid, "pg-picture-brush");
  pictureTiles = { raw: tile("raw", grey), processed: tile("processed", grey), yours: tile("your key", grey) };
  $("picture-answers").dataset.about = "Your picture";
  $("picture-answers").append(...Object.values(pictureTiles));
  when("upload", "change", (event) => upload(event.target.files[0]));
  when("invert", "change", () => {
    pictureGrid.show(inverted(pictureGrid.values));
    answerPicture();
  });
  when("picture-clear", "click", () => {
    pictureGrid.show(new Float32Array(size()));
    answerPicture();
  });
  let next = 0;
  const testImage = () => {
    pictureGrid.show(images.subarray(next * size(), (next + 1) * size()));
    next = (next + 1) % contents.images.count;
    answerPicture();
  };
  when("picture-test", "click", testImage);
  testImage();
  when("own", "change", (event) => chooseOwn(event.target.files[0]));

  const redraw = () => state.network && showTries();
  new ResizeObserver(redraw).observe($("tries"));
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}

// ---- for tests, and for the console

const api = {
  /** Resolves once everything is measured that the present choices ask for; to false if it went wrong. */
  async settled() {
    let last;
    do last = settled;
    while ((await last, last !== settled));
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
    const pixels = gather(indices, false);
    if (key) pixels.forEach((value, i) => (pixels[i] = value + key[i % size()]));
    const { logits, classes } = await engine.run(name, pixels, contents.images.shape, authorized);
    return indices.map((_, i) => Array.from(logits.subarray(i * classes, (i + 1) * classes)));
  },

  /** The present key: one number a pixel, −σ, 0 or σ. */
  key: () => Array.from(keyGrid.values, (sign) => state.sigma * sign),

  /** What the page shows: the network's name and [correct, count] for each kind of input. */
  shown() {
    const pair = ({ correct, count }) => [correct, count];
    const { authorized, raw, tries } = networks.get(state.network);
    return { network: state.network, authorized: pair(authorized), unauthorized: pair(raw), yours: pair(state.yours), tries: [...tries.values()] };
  },
};
