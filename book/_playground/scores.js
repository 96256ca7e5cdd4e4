/** Shows accuracies, records and tries. */

import { describe, grouped, pick, summary } from "./tries.js";
import { interval, percent } from "./numbers.js";
import { $, enable } from "./page.js";
import { histogram } from "./pictures.js";
import { information } from "./score.js";
import { present, store } from "./store.js";

/** What is said of answers under their accuracy: how many, and for the reader's key the score that needs no label. */
function details(answers, what) {
  const { count } = answers;
  const all = store.contents.images.count;
  const correct = answers.correct(store.labels);
  const [low, high] = interval(correct, count).map((share) => (100 * share).toFixed(0));
  const counted = `${correct} of ${count}${count < all ? " so far" : ""}<span class="pg-interval">, 95%: ${low}–${high}</span>`;
  if (what !== "yours") return counted;
  const score = `<span class="pg-score">thief's score ${information([...answers.logits.values()]).toFixed(2)}</span>`;
  return store.blind ? score : `${counted}<br>${score}`;
}

export function showScores() {
  const network = present();
  for (const [what, answers] of [["authorized", network.authorized], ["unauthorized", network.raw], ["yours", store.yours]]) {
    const { count, broken } = answers;
    if (!count) $(what).innerHTML = "<strong>…</strong>";
    else if (broken) {
      $(what).innerHTML = `<strong>unknown</strong> <small>${broken} of ${count} answers are not numbers (NaN or infinite)</small>`;
    } else if (store.blind) {
      $(what).innerHTML = `<strong>hidden</strong>${what === "yours" ? `<small>${details(answers, what)}</small>` : ""}`;
    } else {
      const share = answers.correct(store.labels) / count;
      $(what).innerHTML =
        `<strong>${percent(share)}</strong><span class="pg-bar"><span style="width: ${100 * share}%"></span></span>` +
        `<small>${details(answers, what)}</small>`;
    }
  }
}

export function showRecord() {
  const { recorded, own } = present();
  const phrase = (test) => `${percent(test.accuracy)} of ${test.images.toLocaleString("en")} test images`;
  let text;
  if (own) text = "Your own network: nothing is recorded of it.";
  else if (recorded.accuracy) {
    text = `The record says: ${phrase(recorded.accuracy)}. A baseline has no transform, so authorized and unauthorized are the same.`;
  } else text = `The record says: authorized ${phrase(recorded.authorized)}, unauthorized ${percent(recorded.unauthorized.accuracy)}.`;
  $("record").textContent = text;
}

const MOST = () => Math.log(store.contents.classes.length); // of the score, in nats

export function showTries() {
  const { tries } = present();
  const { yours, labels, blind } = store;
  const all = store.contents.images.count;
  const { group } = describe(store);
  const text = summary(tries, group, all, blind);
  $("tries").textContent = text;
  const groups = grouped(tries);
  const named = (value, name) => `${value} <span class="pg-name">(${name})</span>`;
  const cells = ({ accuracies, mean, best, name, picked }) => blind
    ? [accuracies.length, "hidden", "hidden", named(`score ${picked.score.toFixed(2)}`, picked.name)]
    : [accuracies.length, percent(mean), named(percent(best), name), named(percent(picked.accuracy), picked.name)];
  const rows = groups.map((each) => `<tr><th scope="row">${each.group}</th>${cells(each).map((cell) => `<td>${cell}</td>`).join("")}</tr>`);
  $("groups").querySelector("tbody").innerHTML = rows.join("");
  $("groups").hidden = groups.length < 2;
  $("all-tries").textContent = overall(tries, blind);
  enable($("use-pick"), tries.size > 0);

  const here = groups.find((each) => each.group === group);
  const value = blind ? ({ score }) => score / MOST() : ({ accuracy }) => accuracy;
  const done = yours?.count === all && !yours.broken;
  const marks = [
    { at: done && !blind ? yours.correct(labels) / all : done ? information([...yours.logits.values()]) / MOST() : null, dashed: false },
    { at: here ? value(here.picked) : null, dashed: true },
  ];
  $("histogram").setAttribute("aria-label", `Histogram of the ${blind ? "scores" : "accuracies"} of the keys tried with ${group}. ${text}`);
  const { color, fontFamily } = getComputedStyle($("tries"));
  const axis = blind ? "thief's score, % of the highest possible" : "accuracy of the key, %";
  histogram($("histogram"), here?.tries.map(value) ?? [], marks, { color, fontFamily, axis });
}

/** What the thief would choose among all tries on a network, whatever they were found by. */
function overall(tries, blind) {
  const chosen = pick(tries);
  if (tries.size < 2) return "";
  const what = `Of all ${tries.size} tries on this network, the thief would pick ${chosen.name} (${chosen.group}), with a score of ${chosen.score.toFixed(2)}`;
  if (blind) return `${what}.`;
  const best = Math.max(...[...tries.values()].map(({ accuracy }) => accuracy));
  return `${what} and an accuracy of ${percent(chosen.accuracy)}. The best of them has ${percent(best)}.`;
}
