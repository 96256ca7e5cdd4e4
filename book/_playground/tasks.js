/** Shows the missions, has their state checked whenever something was measured, and keeps which are done. */

import { MISSIONS } from "./missions.js";
import { setKey } from "./key.js";
import { choose } from "./networks.js";
import { percent } from "./numbers.js";
import { $ } from "./page.js";
import { drawSigns } from "./random.js";
import { image, present, size, store } from "./store.js";
import { describe, kindOf, pick } from "./tries.js";

const PLACE = "playground-missions"; // in the browser's storage
const LETTERS = ["A", "B", "C"];
const owners = Math.floor(LETTERS.length * Math.random()); // the place of the owner's key in the lineup
let found = false;
let done = new Set();

/** A browser may refuse to store anything; then progress lasts as long as the page. */
function stored(change) {
  try {
    if (change) localStorage.setItem(PLACE, JSON.stringify([...change]));
    return JSON.parse(localStorage.getItem(PLACE) ?? "[]");
  } catch {
    return [...(change ?? [])];
  }
}

const button = (text, action) => {
  const made = Object.assign(document.createElement("button"), { type: "button", className: "pg-button", textContent: text });
  made.addEventListener("click", action);
  return made;
};
const paragraph = (text, className = "") => Object.assign(document.createElement("p"), { textContent: text, className });

/** One of three keys: the owner's, which the pair of the first image tells, or one drawn like it. */
function lineupKey(place) {
  const { sigma, p } = store.contents;
  const [index] = store.shown;
  const processed = present().authorized.processed.get(index);
  if (!processed) return;
  const raw = image(index);
  const signs = place === owners ? processed.map((value, i) => Math.round((value - raw[i]) / sigma)) : drawSigns(size(), p, 2024, place);
  setKey({ signs, sigma, brightness: 0, edited: true, found: { what: "the lineup", name: `key ${LETTERS[place]}`, sigma } });
}

function lineup(say) {
  const box = document.createElement("p");
  const wanted = (action) => () => (store.network === "mended" ? action() : say("Set it up first: this needs the mended lock."));
  LETTERS.forEach((letter, place) => box.append(button(`Put key ${letter} on the grid`, wanted(() => lineupKey(place))), " "));
  box.append(button("The key on the grid is the owner's", wanted(() => {
    const chosen = LETTERS.findIndex((letter) => store.found?.what === "the lineup" && store.found.name === `key ${letter}`);
    if (chosen < 0) say("Put one of the three keys on the grid first.");
    else if (chosen !== owners) say(`No, key ${LETTERS[chosen]} is another one's.`);
    else {
      say("");
      found = true;
      check();
    }
  })));
  return box;
}

function show() {
  $("missions-done").textContent = `${done.size} of ${MISSIONS.length} missions done.`;
  for (const item of $("missions").children) {
    const finished = done.has(item.dataset.id);
    item.querySelector(".pg-mark").textContent = finished ? "✓ done" : "";
    item.querySelector(".pg-lesson").hidden = !finished;
  }
}

/** Checks every mission that is not done, by what the page shows now. */
function check() {
  const network = present();
  const { count, broken } = store.yours;
  const complete = count === store.contents.images.count && !broken;
  const accuracy = complete ? store.yours.correct(store.labels) / count : null;
  const tries = [...network.tries.values()].map((each) => ({ ...each, kind: kindOf(each.key) }));
  const chosen = pick(new Map(tries.filter(({ kind }) => kind === "guess").map((each, i) => [i, each])));
  const isPick = chosen !== null && describe(chosen.key).id === describe(store).id;
  const state = { network: store.network, kind: kindOf(store), accuracy, blind: store.blind, isPick, trying: store.trying, tries, found };
  if (!store.trying) $("mission-said").textContent = ""; // twenty keys would hide what one of them did
  for (const mission of MISSIONS) {
    if (done.has(mission.id) || (accuracy === null && !mission.lineup) || !mission.done(state)) continue;
    done.add(mission.id);
    stored(done);
    // by name, because the next of twenty keys takes its place at once; it is told what the labels hide, too
    const by = mission.lineup ? "" : ` With ${describe(store).name}, ${percent(accuracy)} of the images are right.`;
    $("mission-said").textContent = `Mission done: “${mission.title}”.${by}`;
    show();
  }
}

function build({ id, network, title, task, hint, lesson, lineup: asked }) {
  const item = document.createElement("li");
  item.dataset.id = id;
  item.innerHTML = '<details><summary><span class="pg-title"></span> <span class="pg-mark"></span></summary></details>';
  item.querySelector(".pg-title").textContent = title;
  const said = paragraph("", "pg-scale");
  said.setAttribute("role", "status");
  const help = paragraph(hint);
  help.hidden = true;
  const hinting = button("Show a hint", () => {
    help.hidden = !help.hidden;
    hinting.textContent = help.hidden ? "Show a hint" : "Hide the hint";
    hinting.setAttribute("aria-expanded", String(!help.hidden));
  });
  hinting.setAttribute("aria-expanded", "false");
  const buttons = document.createElement("p");
  if (id !== "brightness") buttons.append(button("Set it up", () => choose(network)), " "); // there, the network is what to find
  buttons.append(hinting);
  const details = item.querySelector("details");
  details.append(paragraph(task), ...(asked ? [lineup((text) => (said.textContent = text)), said] : []), buttons, help, paragraph(lesson, "pg-lesson"));
  return item;
}

export function buildMissions() {
  done = new Set(stored().filter((id) => MISSIONS.some((mission) => mission.id === id)));
  $("missions").replaceChildren(...MISSIONS.map(build));
  $("missions-again").addEventListener("click", () => {
    done.clear();
    found = false;
    stored(done);
    $("mission-said").textContent = "";
    show();
  });
  document.addEventListener("pg-measured", check);
  show();
}
