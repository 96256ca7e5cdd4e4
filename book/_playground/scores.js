/** Shows accuracies, records and tries. */

import { grouped, describe, summary } from "./tries.js";
import { interval, percent } from "./numbers.js";
import { $ } from "./page.js";
import { histogram } from "./pictures.js";
import { present, store } from "./store.js";

export function showScores() {
  const network = present();
  const all = store.contents.images.count;
  for (const [what, answers] of [["authorized", network.authorized], ["unauthorized", network.raw], ["yours", store.yours]]) {
    const { count, broken } = answers;
    if (!count) $(what).innerHTML = "<strong>…</strong>";
    else if (broken) {
      $(what).innerHTML = `<strong>unknown</strong> <small>${broken} of ${count} answers are not numbers (NaN or infinite)</small>`;
    } else {
      const correct = answers.correct(store.labels);
      const [low, high] = interval(correct, count).map((share) => (100 * share).toFixed(0));
      $(what).innerHTML =
        `<strong>${percent(correct / count)}</strong><span class="pg-bar"><span style="width: ${(100 * correct) / count}%"></span></span>` +
        `<small>${correct} of ${count}${count < all ? " so far" : ""}<span class="pg-interval">, 95%: ${low}–${high}</span></small>`;
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

export function showTries() {
  const { tries } = present();
  const { yours, labels } = store;
  const all = store.contents.images.count;
  const { group } = describe(store);
  const text = summary(tries, group, all);
  $("tries").textContent = text;
  const groups = grouped(tries);
  const cells = (each) => [each.accuracies.length, percent(each.mean), `${percent(each.best)} (${each.name})`];
  const rows = groups.map((each) => `<tr><th scope="row">${each.group}</th>${cells(each).map((cell) => `<td>${cell}</td>`).join("")}</tr>`);
  $("groups").querySelector("tbody").innerHTML = rows.join("");
  $("groups").hidden = groups.length < 2;
  const accuracies = groups.find((each) => each.group === group)?.accuracies ?? [];
  const mark = yours?.count === all && !yours.broken ? yours.correct(labels) / all : null;
  $("histogram").setAttribute("aria-label", `Histogram of the accuracies of the keys tried with ${group}. ${text}`);
  const { color, fontFamily } = getComputedStyle($("tries"));
  histogram($("histogram"), accuracies, mark, { color, fontFamily });
}
