/** Feature maps: what a layer makes of one image, raw, processed and with the reader's key. */

import { openInside } from "./climb.js";
import { gather, unlock } from "./keys.js";
import { $, fail, when } from "./page.js";
import { mosaic } from "./pictures.js";
import { className, image, present, store } from "./store.js";

const KINDS = ["raw", "processed", "your key"];
const state = { open: false, again: false, busy: false };

const length = (values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

/** How far some maps are from others, as a share of how long those are. */
const distance = (maps, from) => length(maps.map((value, i) => value - from[i])) / (length(from) || 1);

async function look() {
  const name = store.network;
  const { clip, authorized, inside } = present();
  const [index] = store.shown;
  const processed = authorized.processed.get(index);
  if (!processed) return; // another measurement is on its way
  await openInside(name, (text) => ($("inside-state").textContent = text));
  const shown = [image(index), processed, unlock(image(index), store, clip)];
  const { output, name: layer } = inside.layers[$("layer").selectedIndex];
  const pixels = gather([0, 1, 2], (place) => shown[place]);
  const { data, dims: [, maps, height, width] } = await store.engine.maps(name, pixels, store.contents.images.shape, store.contents.classes.length, output);
  if (name !== store.network) return;
  const each = data.length / KINDS.length;
  const parts = KINDS.map((_, i) => data.subarray(i * each, (i + 1) * each));
  const most = data.reduce((a, b) => Math.max(a, b), 0);
  const about = store.blind ? `image ${index}` : className(store.labels[index]);
  parts.forEach((part, i) => {
    const canvas = $("inside").querySelectorAll("canvas")[i];
    mosaic(canvas, part, maps, height, width, most);
    canvas.setAttribute("aria-label", `${maps} maps of ${height} by ${width} pixels after the ${layer}, ${about}, ${KINDS[i]}`);
  });
  const [second, third] = [1, 2].map((i) => `${(100 * distance(parts[i], parts[0])).toFixed(0)}%`);
  $("inside-state").textContent =
    `${maps} maps of ${height}×${width} pixels, for the first image above (${about}). The maps of the processed image differ from the raw ones by ${second}, those with your key by ${third}.`;
}

/** Looks again after every change; while it does, only the last one counts. */
async function refresh() {
  state.again = true;
  if (state.busy || !state.open || !store.network) return;
  state.busy = true;
  while (state.again) {
    state.again = false;
    try {
      $("inside-problem").hidden = true;
      await look();
    } catch (error) {
      $("inside-state").textContent = "";
      fail($("inside-problem"), `The inside cannot be shown: ${error.message}.`);
    }
  }
  state.busy = false;
}

export function buildInside() {
  for (const { name } of present()?.inside?.layers ?? [...store.networks.values()][0].inside.layers) $("layer").add(new Option(name));
  when("look", "click", () => {
    state.open = true;
    $("inside").hidden = false;
    refresh();
  });
  when("layer", "change", refresh);
  document.addEventListener("pg-measured", refresh);
}
