/** Adversarial examples of the first images, live: FGSM and PGD with the ε of a slider. */

import { openInside } from "./climb.js";
import { tile } from "./gallery.js";
import { gather, unlock } from "./keys.js";
import { nudged, plan } from "./nudge.js";
import { best } from "./numbers.js";
import { $, fail, when } from "./page.js";
import { crossEntropySlope } from "./score.js";
import { className, image, present, size, store } from "./store.js";

const COUNT = 32; // images that are attacked; the first ones are shown
const SHOWN = 4;
const CHUNK = 16;
const state = { open: false, again: false, busy: false, generation: 0 };

/** Slopes whose signs are those of the loss. Where the network is very sure they are tiny, and so each image's are scaled. */
function slopesOf(logits, classes, labels) {
  const answers = labels.map((_, i) => Array.from(logits.subarray(i * classes, (i + 1) * classes)));
  const slopes = crossEntropySlope(answers, labels);
  for (let i = 0; i < labels.length; i++) {
    const mine = slopes.subarray(i * classes, (i + 1) * classes);
    const most = mine.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
    mine.forEach((value, k) => (mine[k] = value / most));
  }
  return slopes;
}

/** Attacks some images of the present network; resolves to their pixels and the answers to them. */
export async function attack(name, indices, method, epsilon) {
  const { shape } = store.contents.images;
  const { clip } = store.networks.get(name);
  const labels = indices.map((index) => store.labels[index]);
  const start = gather(indices, image, (raw) => unlock(raw, store, clip));
  const { steps, size: step } = plan(method, epsilon);
  let pixels = start;
  let answer = await store.engine.run(name, pixels, shape, 0);
  for (let i = 0; i < steps; i++) {
    const slopes = slopesOf(answer.logits, answer.classes, labels);
    const gradient = await store.engine.gradient(name, pixels, shape, slopes);
    pixels = nudged(pixels, gradient, step, epsilon, start);
    answer = await store.engine.run(name, pixels, shape, 0);
  }
  return { pixels, ...answer };
}

async function refreshOnce() {
  const name = store.network;
  const method = $("method").value;
  const levels = Number($("epsilon").value);
  await openInside(name, (text) => ($("attack-state").textContent = text));
  const order = Array.from({ length: COUNT }, (_, i) => (store.shown[0] + i) % store.contents.images.count);
  let [right, before, done] = [0, 0, 0];
  while (done < COUNT) {
    const indices = order.slice(done, done + CHUNK);
    const { pixels, logits, classes } = await attack(name, indices, method, levels / 255);
    if (state.again || name !== store.network) return; // something else is to be shown
    indices.forEach((index, i) => {
      const mine = logits.subarray(i * classes, (i + 1) * classes);
      right += best(mine) === store.labels[index];
      before += store.yours.has(index) && best(store.yours.logits.get(index)) === store.labels[index];
      if (done + i >= SHOWN) return;
      const shown = $("attacked").children[done + i];
      const label = store.blind ? null : store.labels[index];
      shown.dataset.about = label === null ? `Image ${index}` : className(label);
      shown.firstChild.update(pixels.subarray(i * size(), (i + 1) * size()), mine, label);
    });
    done += indices.length;
  }
  $("attack-state").textContent = `${present().title}: ${right} of ${COUNT} images are answered correctly after ${method.toUpperCase()} with ε = ${levels}/255; without the attack, ${before}.`;
}

/** Attacks again after every change; while it does, only the last one counts. */
async function refresh() {
  state.again = true;
  if (state.busy || !state.open || !store.network) return;
  state.busy = true;
  while (state.again) {
    state.again = false;
    try {
      $("attack-problem").hidden = true;
      await refreshOnce();
    } catch (error) {
      $("attack-state").textContent = "";
      fail($("attack-problem"), `The images cannot be attacked: ${error.message}.`);
    }
  }
  state.busy = false;
}

export function buildAdversarial() {
  const boxes = Array.from({ length: SHOWN }, () => {
    const box = document.createElement("div");
    box.append(tile("attacked"));
    return box;
  });
  $("attacked").append(...boxes);
  const showEpsilon = () => ($("epsilon-value").textContent = `${$("epsilon").value}/255`);
  when("attack", "click", () => {
    state.open = true;
    $("attacked").hidden = false;
    refresh();
  });
  when("method", "change", refresh);
  when("epsilon", "input", () => {
    showEpsilon();
    refresh();
  });
  document.addEventListener("pg-measured", () => store.trying || refresh()); // not after each of twenty keys,
  document.addEventListener("pg-idle", refresh); // but after the last one
  showEpsilon();
}
