/** Shows images of the test set, what the owner and the reader make of them, and what the network answers. */

import { unlock } from "./keys.js";
import { best, probability, percent } from "./numbers.js";
import { $ } from "./page.js";
import { blueWhiteRed, gray, paint } from "./pictures.js";
import { className, image, present, side, size, store } from "./store.js";

const SHOWN = 8;
const IN_A_CARD = ["raw", "processed", "change", "yours"];
const KINDS = { raw: ["raw", gray], processed: ["processed", gray], change: ["change", blueWhiteRed], yours: ["your key", gray], attacked: ["attacked", gray] };

/** A picture with a caption. update() takes what to show, and the logits if there was an answer; label null: not known. */
export function tile(kind) {
  const [name, color] = KINDS[kind];
  const figure = Object.assign(document.createElement("div"), { className: "pg-tile" });
  figure.innerHTML = `<canvas role="img" aria-label="${name}"></canvas><span class="pg-kind">${name}</span><span class="pg-answer"></span>`;
  const [canvas, answer] = [figure.querySelector("canvas"), figure.querySelector(".pg-answer")];
  figure.update = (values, logits, label, note = "…") => {
    paint(canvas, values ?? new Float32Array(size()), side(), color);
    let text = note;
    answer.className = "pg-answer";
    const guess = logits ? best(logits) : null;
    if (guess === -1) text = "not a number";
    else if (guess !== null) {
      const right = guess === label;
      if (label !== null) answer.classList.add(right ? "pg-right" : "pg-wrong");
      text = `${label === null ? "" : right ? "✓ " : "✗ "}${className(guess)}\n${percent(probability(logits), 0)}`;
    }
    answer.textContent = text;
    canvas.setAttribute("aria-label", `${figure.closest("[data-about]")?.dataset.about ?? ""}, ${name}: ${text}`);
  };
  return figure;
}

export function buildGallery() {
  const cards = Array.from({ length: SHOWN }, () => {
    const card = document.createElement("article");
    card.className = "pg-card";
    card.innerHTML = '<p class="pg-true"></p><div class="pg-tiles"></div>';
    card.tiles = Object.fromEntries(IN_A_CARD.map((kind) => [kind, tile(kind)]));
    card.querySelector(".pg-tiles").append(...Object.values(card.tiles));
    return card;
  });
  $("gallery").replaceChildren(...cards);
}

/** Chooses other images for the gallery: those from the given place on. */
export function others(from) {
  store.shown = Array.from({ length: SHOWN }, (_, i) => (from + i) % store.contents.images.count);
}

export function showGallery() {
  const network = present();
  const changes = store.shown.map((index) => {
    const processed = network.authorized.processed.get(index);
    return processed?.map((value, i) => value - image(index)[i]);
  });
  const limit = Math.max(1e-3, ...changes.filter(Boolean).map((change) => change.reduce((most, value) => Math.max(most, Math.abs(value)), 0)));
  store.shown.forEach((index, i) => {
    const card = $("gallery").children[i];
    const { raw, processed, change, yours } = card.tiles;
    const label = store.blind ? null : store.labels[index];
    const title = store.blind ? `image ${index}` : className(label);
    card.dataset.about = store.blind ? title : `Image ${index}, ${title}`;
    card.querySelector(".pg-true").textContent = title;
    raw.update(image(index), network.raw.logits.get(index), label);
    processed.update(network.authorized.processed.get(index), network.authorized.logits.get(index), label);
    change.update(changes[i]?.map((value) => value / limit), null, label, changes[i] ? "" : "…");
    yours.update(unlock(image(index), store, network.clip), store.yours.logits.get(index), label);
  });
  $("scale").textContent = limit > 1e-3
    ? `Change: the owner's perturbation, amplified ${(1 / limit).toFixed(0)} times. Blue is darker, red brighter; full color is ±${limit.toFixed(3)} of the range from black to white.`
    : "Change: none, because the network has no transform.";
}
