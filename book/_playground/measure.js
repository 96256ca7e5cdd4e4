/** Has the networks answer. A change makes whatever is under way out of date; it ends after the images that are computed. */

import { Answers } from "./answers.js";
import { showGallery } from "./gallery.js";
import { copied, gather, unlock } from "./keys.js";
import { $, fail } from "./page.js";
import { answerPicture } from "./picture.js";
import { information } from "./score.js";
import { showScores, showTries } from "./scores.js";
import { image, present, store } from "./store.js";
import { keep } from "./tries.js";

const CHUNK = 16; // images at a time: few enough to be done with soon when out of date, enough to lose little time between
const underWay = new Set();

/** The present key changed: what it was measured on counts no more. */
export function keyChanged() {
  if (!store.network) return;
  store.yours = new Answers();
  measure();
}

/** Has the network answer whatever it was not asked yet; resolves to whether that came to its end. */
export function measure() {
  const mine = ++store.generation;
  store.settled = measureAll(mine).catch((error) => {
    if (mine !== store.generation) return false;
    fail($("failed"), `The network could not be run: ${error.message}.`, () => {
      $("failed").hidden = true;
      measure();
    });
    return false;
  });
  return store.settled;
}

/** What to ask: the images in the gallery first, and of each image the reader's key first. */
function jobsFor(network) {
  const jobs = [];
  const order = [...new Set([...store.shown, ...store.labels.keys()])];
  for (let from = 0; from < order.length; from += CHUNK) {
    for (const [answers, authorized] of [[store.yours, 0], [network.authorized, 1], [network.raw, 0]]) {
      const indices = order.slice(from, from + CHUNK).filter((index) => !answers.has(index));
      if (indices.length) jobs.push({ from, answers, indices, authorized, withKey: answers === store.yours });
    }
  }
  return jobs;
}

async function measureAll(mine) {
  const network = present();
  const { yours } = store;
  const key = copied(store);
  const jobs = jobsFor(network);
  // The worker is given the next images before the last ones are shown, so that it need not wait for the page.
  let next = jobs.length ? ask(mine, jobs[0]) : null;
  showScores();
  showGallery();
  for (const [i, job] of jobs.entries()) {
    const now = next;
    next = jobs[i + 1] ? ask(mine, jobs[i + 1]) : null;
    const result = await now;
    if (result) job.answers.keep(job.indices, result);
    if (mine !== store.generation) return false;
    showScores();
    if (job.from < store.shown.length) showGallery();
    if (job.from === 64 && job.withKey) answerPicture();
  }
  const correct = yours.correct(store.labels);
  if (!yours.broken) keep(network.tries, key, correct / yours.count, information([...yours.logits.values()]));
  showTries();
  $("spoken").textContent = yours.broken
    ? `With your key ${yours.broken} answers are no numbers.`
    : store.blind ? "Your key is measured." : `With your key ${correct} of ${yours.count} images are answered correctly.`;
  document.dispatchEvent(new CustomEvent("pg-measured"));
  return true;
}

/** Asks the network, at most twice at a time; resolves to null if this is out of date before it is asked. */
function ask(mine, { indices, authorized, withKey }) {
  const asking = (async () => {
    while (underWay.size >= 2) await Promise.race(underWay);
    if (mine !== store.generation) return null;
    const { clip, limit } = present();
    const pixels = gather(indices, image, withKey ? (raw) => unlock(raw, store, clip) : undefined);
    const asked = store.engine.run(store.network, pixels, store.contents.images.shape, authorized, limit?.());
    const landed = asked.then(() => {}, () => {}).then(() => underWay.delete(landed));
    underWay.add(landed);
    return asked;
  })();
  asking.catch(() => {}); // whoever awaits it is told; nobody may, once it is out of date
  return asking;
}
