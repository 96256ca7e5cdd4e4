/** What the reader can move, press, draw and choose. */

import { buildGallery, others } from "./gallery.js";
import { Grid } from "./grid.js";
import { wholeNumber } from "./keys.js";
import { keyChanged, measure } from "./measure.js";
import { choose, chooseOwn } from "./networks.js";
import { $, enable, enabled, fail } from "./page.js";
import { answerPicture, buildAnswers, readPicture } from "./picture.js";
import { blueWhiteRed, gray } from "./pictures.js";
import { drawSigns } from "./random.js";
import { showTries } from "./scores.js";
import { image, present, side, size, store } from "./store.js";

const when = (id, event, action) => $(id).addEventListener(event, action);
const ERASERS = ["0", "Delete", "Backspace"];

function brushesOf(grid, name) {
  for (const radio of document.getElementsByName(name)) radio.addEventListener("change", () => (grid.brush = Number(radio.value)));
}

/** A file input forgets its file once that is taken: the same name may be chosen again, with other content. */
function whenFile(id, take) {
  when(id, "change", async ({ target }) => {
    const [file] = target.files;
    if (file) await take(file);
    target.value = "";
  });
}

export function build() {
  buildGallery();
  buildAnswers();
  when("network", "change", (event) => choose(event.target.value));
  when("others", "click", () => {
    others(store.shown.at(-1) + 1);
    measure();
  });
  buildKey();
  buildPicture();
  whenFile("own", chooseOwn);
  const redraw = () => store.network && showTries();
  new ResizeObserver(redraw).observe($("tries"));
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}

function buildKey() {
  const grid = new Grid($("key"), {
    side: side(), color: blueWhiteRed,
    brushes: [{ value: 1, name: "+σ", keys: ["+", "=", "p"] }, { value: -1, name: "−σ", keys: ["-", "−", "m"] },
              { value: 0, name: "0", keys: ERASERS }],
    onChange: () => show(grid.values, true),
  });
  brushesOf(grid, "pg-key-brush");

  function show(signs, edited) {
    if (signs !== grid.values) grid.show(signs);
    store.signs = Float32Array.from(signs);
    store.edited = edited;
    $("sigma-value").textContent = store.sigma.toFixed(3);
    $("p-value").textContent = store.p.toFixed(2);
    $("seed").value = store.seed;
    $("draw").value = store.draw;
    keyChanged();
  }

  /** The key of the present seed, number and p. */
  const draw = () => show(drawSigns(size(), store.p, store.seed, store.draw), false);

  function drawNext() {
    store.draw += 1;
    draw();
  }

  async function tryTwenty() {
    if (store.trying) return;
    store.trying = true;
    enable($("twenty"), false);
    enable($("stop"), true);
    for (let i = 0; i < 20 && store.trying; i++) {
      drawNext();
      if (!(await store.settled)) break; // the reader has changed something
    }
    store.trying = false;
    enable($("twenty"), true);
    enable($("stop"), false);
  }

  when("sigma", "input", (event) => {
    store.sigma = Number(event.target.value);
    show(grid.values, store.edited); // the signs stay, drawn or by hand
  });
  when("p", "input", (event) => {
    store.p = Number(event.target.value);
    draw();
  });
  for (const what of ["seed", "draw"]) {
    when(what, "change", (event) => {
      store[what] = wholeNumber(event.target.value);
      draw();
    });
  }
  when("draw-key", "click", drawNext);
  when("clear", "click", () => show(new Float32Array(size()), true));
  when("twenty", "click", tryTwenty);
  when("stop", "click", () => {
    if (enabled($("stop"))) store.trying = false;
  });
  when("forget", "click", () => {
    present().tries.clear();
    showTries();
  });
  draw();
}

function buildPicture() {
  const grid = new Grid($("picture"), {
    side: side(), color: gray, wide: true,
    brushes: [{ value: 1, name: "white", keys: ["1"] }, { value: 0.5, name: "gray", keys: ["2"] },
              { value: 0, name: "black", keys: ERASERS }],
    onChange: () => show(grid.values),
  });
  brushesOf(grid, "pg-picture-brush");

  function show(pixels) {
    if (pixels !== grid.values) grid.show(pixels);
    store.picture = Float32Array.from(pixels);
    answerPicture();
  }

  const inverted = (values) => values.map((value) => 1 - value);
  let next = 0;
  const testImage = () => {
    show(image(next));
    next = (next + 1) % store.contents.images.count;
  };

  whenFile("upload", async (file) => {
    $("upload-problem").hidden = true;
    try {
      const picture = await readPicture(file);
      show($("invert").checked ? inverted(picture) : picture);
    } catch {
      fail($("upload-problem"), `“${file.name}” could not be read as a picture. Take a PNG, JPEG or WebP file.`);
    }
  });
  when("invert", "change", () => show(inverted(grid.values)));
  when("picture-clear", "click", () => show(new Float32Array(size())));
  when("picture-test", "click", testImage);
  testImage();
}
