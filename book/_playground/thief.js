/** The thief's buttons: guess keys, try brightnesses, take a pair, climb; and choose by their score. */

import { CLIMB, climb } from "./climb.js";
import { showGallery } from "./gallery.js";
import { copied } from "./keys.js";
import { drawKey, noKey, setKey } from "./key.js";
import { $, enable, enabled, fail, when } from "./page.js";
import { curve } from "./pictures.js";
import { showScores, showTries } from "./scores.js";
import { image, present, store } from "./store.js";
import { pick } from "./tries.js";

const STARTERS = ["twenty", "shifts", "climb"];
const SHIFTS = Array.from({ length: 17 }, (_, i) => (i - 8) / 40); // as ap.attacks.SHIFTS

/** Tries one thing after the other until all are done, the reader presses Stop, or changes something. */
async function tryAll(changes) {
  for (const change of changes) {
    if (!store.trying) return;
    change();
    if (!(await store.settled)) return;
  }
}

/** Does a long piece of work once at a time, with the other buttons off and Stop on. */
async function working(work) {
  if (store.trying) return;
  store.trying = true;
  for (const id of STARTERS) enable($(id), false);
  enable($("stop"), true);
  await work();
  store.trying = false;
  for (const id of STARTERS) enable($(id), true);
  enable($("stop"), false);
  document.dispatchEvent(new CustomEvent("pg-idle")); // for what waited until all this was over
}

/** One pair of a raw and a processed image tells a universal perturbation: it is their difference. */
function takePair() {
  const [index] = store.shown;
  const processed = present().authorized.processed.get(index);
  if (!processed) return; // it is being computed
  const raw = image(index);
  const found = { what: "one pair", name: `the pair of image ${index}`, sigma: store.sigma };
  setKey({ signs: processed.map((value, i) => (value - raw[i]) / store.sigma), edited: true, found, brightness: 0 });
}

function drawClimb(steps) {
  const { color, fontFamily } = getComputedStyle($("tries"));
  $("climb-box").hidden = false;
  curve($("curve"), steps, CLIMB.steps, { color, fontFamily });
}

async function climbOnce() {
  $("climb-problem").hidden = true;
  try {
    const { steps, finished, starts } = await climb(drawClimb, (text) => ($("climb-state").textContent = text));
    const [first, last] = [steps[0], steps.at(-1)].map(({ score }) => (score * Math.log(store.contents.classes.length)).toFixed(2));
    const before = starts > 1 ? ` ${starts === 2 ? "One start" : `${starts - 1} starts`} before it got stuck.` : "";
    const text = `${steps.length} steps: the score went from ${first} to ${last}.${before}`;
    $("climb-state").textContent = finished ? text : `Stopped after ${text}`;
    $("curve").setAttribute("aria-label", `A climb. ${text}`);
    if (finished) await store.settled;
  } catch (error) {
    $("climb-state").textContent = "";
    fail($("climb-problem"), `The climb went wrong: ${error.message}.`);
  }
}

export function buildThief() {
  const next = () => drawKey({ draw: store.draw + 1, brightness: 0 });
  when("twenty", "click", () => working(() => tryAll(Array(20).fill(next))));
  when("shifts", "click", () => working(() => tryAll(SHIFTS.map((brightness) => () => setKey({ ...noKey(), brightness })))));
  when("climb", "click", () => working(climbOnce));
  when("pair", "click", takePair);
  when("stop", "click", () => {
    if (enabled($("stop"))) store.trying = false;
  });
  when("use-pick", "click", () => {
    const chosen = pick(present().tries);
    if (chosen) setKey(copied(chosen.key));
  });
  when("forget", "click", () => {
    present().tries.clear();
    showTries();
  });
  when("blind", "change", (event) => {
    store.blind = event.target.checked;
    showScores();
    showGallery();
    showTries();
  });
}
