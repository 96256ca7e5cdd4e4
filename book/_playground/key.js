/** The reader's key: its grid, its sliders, and the one function through which everything changes it. */

import { Grid } from "./grid.js";
import { wholeNumber } from "./keys.js";
import { keyChanged } from "./measure.js";
import { $, brushesOf, ERASERS, when } from "./page.js";
import { blueWhiteRed } from "./pictures.js";
import { drawSigns } from "./random.js";
import { side, size, store } from "./store.js";

let grid = null;

/** Changes some of what makes the key, and shows it. measured: false if the network is not to be asked yet. */
export function setKey(changes, measured = true) {
  Object.assign(store, changes);
  if (store.signs !== grid.values) grid.show(store.signs);
  store.signs = Float32Array.from(store.signs);
  for (const [id, value] of [["sigma", store.sigma], ["p", store.p], ["brightness", store.brightness], ["seed", store.seed], ["draw", store.draw]]) {
    $(id).value = value;
  }
  $("sigma-value").textContent = store.sigma.toFixed(3);
  $("p-value").textContent = store.p.toFixed(2);
  $("brightness-value").textContent = `${store.brightness > 0 ? "+" : ""}${store.brightness.toFixed(3)}`;
  $("found").textContent = store.found
    ? `This one was not drawn but found: ${store.found.name}. σ makes it stronger or weaker, and ±σ is full color.` : "";
  if (measured) keyChanged();
}

/** Draws the key of the seed, the number, σ and p that are given, or else of the present ones. */
export function drawKey(changes = {}) {
  const { p, seed, draw } = Object.assign(store, changes);
  setKey({ signs: drawSigns(size(), p, seed, draw), edited: false, found: null });
}

export const noKey = () => ({ signs: new Float32Array(size()), edited: true, found: null });

export function buildKey() {
  grid = new Grid($("key"), {
    side: side(), color: blueWhiteRed,
    brushes: [{ value: 1, name: "+σ", keys: ["+", "=", "p"] }, { value: -1, name: "−σ", keys: ["-", "−", "m"] },
              { value: 0, name: "0", keys: ERASERS }],
    onChange: () => setKey({ signs: grid.values, edited: true, found: null }),
  });
  brushesOf(grid, "pg-key-brush");
  when("sigma", "input", (event) => setKey({ sigma: Number(event.target.value) })); // the signs stay, drawn or by hand
  when("brightness", "input", (event) => setKey({ brightness: Number(event.target.value) }));
  when("p", "input", (event) => drawKey({ p: Number(event.target.value) }));
  for (const what of ["seed", "draw"]) when(what, "change", (event) => drawKey({ [what]: wholeNumber(event.target.value) }));
  when("draw-key", "click", () => drawKey({ draw: store.draw + 1 }));
  when("clear", "click", () => setKey({ ...noKey(), brightness: 0 }));
}
