/**
 * Climbing, as ap.attacks.climb: one perturbation of all images is changed so that the thief's own score rises.
 * The gradient comes from the network's inside, which is loaded when the first climb begins.
 */

import { Adam } from "./adam.js";
import { Answers } from "./answers.js";
import { showGallery } from "./gallery.js";
import { gather, unlock } from "./keys.js";
import { setKey } from "./key.js";
import { keyChanged } from "./measure.js";
import { megabytes } from "./numbers.js";
import { drawNoise, shuffled, uniform } from "./random.js";
import { information, informationSlope } from "./score.js";
import { showScores } from "./scores.js";
import { stuck } from "./stuck.js";
import { image, present, size, store } from "./store.js";

// The steps, their size and the noise at the start are those of the package; a batch there has 200 images. Here a climb
// begins again from other noise, at most so many times, if its score is not high enough early on: see stuck.js.
export const CLIMB = { steps: 20, rate: 0.01, deviation: 0.03, batch: 32, starts: 10, early: 5, enough: 1.05 };
const CHUNK = 16;

const parts = (indices) => Array.from({ length: Math.ceil(indices.length / CHUNK) }, (_, i) => indices.slice(i * CHUNK, (i + 1) * CHUNK));

/** Loads what shows the inside of a network of this book. */
export async function openInside(name, say = () => {}) {
  const network = store.networks.get(name);
  if (!network.inside) throw new Error("only the networks of this book come with their gradients, and this one is yours");
  let received = 0;
  await store.engine.open(name, { url: store.folder + network.file, fragment: store.folder + network.inside.file }, (bytes) => {
    received += bytes;
    say(`Loading the gradients: ${megabytes(received)} of ${megabytes(network.bytes + network.inside.bytes)}`);
  });
}

/** Pixels of some images with a perturbation on them. */
const perturbed = (indices, signs, sigma, clip) => gather(indices, image, (raw) => unlock(raw, { signs, sigma }, clip));

/** The network's answers to images with a perturbation, and the gradient of their score in it. */
export async function scoreAndGradient(name, indices, signs, sigma, keep = () => {}) {
  const { shape } = store.contents.images;
  const { clip } = store.networks.get(name);
  const answers = [];
  for (const some of parts(indices)) {
    const result = await store.engine.run(name, perturbed(some, signs, sigma, clip), shape, 0);
    keep(some, result);
    some.forEach((_, i) => answers.push(result.logits.subarray(i * result.classes, (i + 1) * result.classes)));
  }
  const slopes = informationSlope(answers);
  const classes = answers[0].length;
  const gradient = new Float64Array(size());
  let done = 0;
  for (const some of parts(indices)) {
    const mine = slopes.slice(done * classes, (done + some.length) * classes);
    const pixels = perturbed(some, signs, sigma, clip);
    const found = await store.engine.gradient(name, pixels, shape, mine);
    found.forEach((value, i) => {
      if (!clip || (pixels[i] > 0 && pixels[i] < 1)) gradient[i % gradient.length] += value;
    });
    done += some.length;
  }
  return { score: information(answers), gradient };
}

/**
 * One climb on the present network, shown while it goes; it ends early when the reader stops it or changes something.
 * @param {(steps: object[]) => void} draw is given the steps so far: {score, accuracy}, as shares
 * @returns {Promise<{steps: object[], finished: boolean, starts: number}>} steps of the last start
 */
export async function climb(draw, say) {
  const mine = ++store.generation;
  const name = store.network;
  const network = present();
  await openInside(name, say);
  const current = () => mine === store.generation && store.trying;
  let last;
  let starts = 0;
  do {
    starts += 1;
    say(starts === 1 ? "Climbing …" : `Stuck. Climbing from other noise, start ${starts} of ${CLIMB.starts} at most …`);
    last = await climbFrom(name, network, current, draw, starts < CLIMB.starts);
  } while (last.stuck && current());
  const { steps, delta, found } = last;
  if (mine === store.generation) {
    setKey({ signs: delta.map((value) => value / found.sigma), sigma: found.sigma, edited: true, found, brightness: 0 }, false);
    keyChanged();
  }
  return { steps: steps.length ? steps : [{ score: 0, accuracy: null }], finished: steps.length === CLIMB.steps, starts };
}

/** Climbs from noise of its own, until all steps are done; or, if another start is left, until it is stuck. */
async function climbFrom(name, network, current, draw, again) {
  network.climbs = (network.climbs ?? 0) + 1;
  const found = { what: "climbing", name: `climb ${network.climbs} of seed ${store.seed}`, sigma: store.sigma };
  const delta = drawNoise(size(), CLIMB.deviation, store.seed, network.climbs);
  const next = uniform(store.seed, network.climbs + 2 ** 31);
  const adam = new Adam(delta.length, CLIMB.rate);
  const steps = [];
  const scores = [];
  for (let step = 0; step < CLIMB.steps && current(); step++) {
    const signs = delta.map((value) => value / found.sigma);
    const yours = new Answers();
    const indices = shuffled(store.contents.images.count, next).slice(0, CLIMB.batch);
    const { score, gradient } = await scoreAndGradient(name, indices, signs, found.sigma, (some, result) => yours.keep(some, result));
    if (!current()) break;
    scores.push(score);
    steps.push({ score: score / Math.log(store.contents.classes.length), accuracy: store.blind ? null : yours.correct(store.labels) / yours.count });
    Object.assign(store, { yours });
    setKey({ signs, sigma: found.sigma, edited: true, found, brightness: 0 }, false);
    showScores();
    showGallery();
    draw(steps);
    adam.step(delta, gradient);
    if (again && stuck(scores, CLIMB)) return { steps, delta, found, stuck: true };
  }
  return { steps, delta, found, stuck: false };
}
