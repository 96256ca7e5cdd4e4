/** Keeps the state in the page's address, copies that address, and saves what is seen as a picture. */

import { toAddress } from "./link.js";
import { percent } from "./numbers.js";
import { $, when } from "./page.js";
import { present, store } from "./store.js";
import { describe } from "./tries.js";

const [TILE, GAP, TEXT] = [112, 14, 16]; // in points of the picture

const address = () => toAddress({ ...store, own: present().own });

function copyLink() {
  const link = new URL(address(), location.href).href;
  const more = store.edited ? " It leads to a drawn key: the one on the grid is not part of an address." : "";
  const shown = () => ($("share-state").textContent = `The link: ${link}`);
  if (!navigator.clipboard) return shown();
  return navigator.clipboard.writeText(link).then(() => ($("share-state").textContent = `The link is copied.${more}`), shown);
}

/** The gallery as a canvas of its own, on white, with what is said above it. */
function drawAll() {
  const cards = [...$("gallery").children];
  const kinds = cards[0].querySelectorAll(".pg-tile").length;
  const columns = 2;
  const [cardWidth, cardHeight] = [kinds * (TILE + GAP) + GAP, TILE + 6 * TEXT];
  const canvas = document.createElement("canvas");
  canvas.width = columns * cardWidth + GAP;
  canvas.height = 5 * TEXT + Math.ceil(cards.length / columns) * cardHeight;
  const context = canvas.getContext("2d");
  const font = (size, weight = "normal") => (context.font = `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = "#000";
  context.imageSmoothingEnabled = false;
  font(18, "bold");
  const { group, name } = describe(store);
  context.fillText(`${present().title}: ${name}, ${group}`, GAP, 1.8 * TEXT);
  font(TEXT);
  const share = (answers) => (store.blind ? "hidden" : percent(answers.correct(store.labels) / answers.count));
  context.fillText(`authorized ${share(present().authorized)}, unauthorized ${share(present().raw)}, your key ${share(store.yours)}`, GAP, 3.4 * TEXT);
  cards.forEach((card, i) => {
    const [left, top] = [GAP + (i % columns) * cardWidth, 5 * TEXT + Math.floor(i / columns) * cardHeight];
    font(TEXT, "bold");
    context.fillText(card.querySelector(".pg-true").textContent, left, top);
    font(TEXT - 2);
    card.querySelectorAll(".pg-tile").forEach((tile, j) => {
      const x = left + j * (TILE + GAP);
      context.drawImage(tile.querySelector("canvas"), x, top + TEXT / 2, TILE, TILE);
      const lines = [tile.querySelector(".pg-kind").textContent, ...tile.querySelector(".pg-answer").textContent.split("\n")];
      lines.forEach((line, n) => context.fillText(line, x, top + TILE + (1.6 + 1.1 * n) * TEXT, TILE));
    });
  });
  return canvas;
}

function savePicture() {
  drawAll().toBlob((blob) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: "playground.png" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, "image/png");
}

export function buildShare() {
  when("link", "click", copyLink);
  when("save", "click", savePicture);
  document.addEventListener("pg-measured", () => history.replaceState(history.state, "", address() + location.hash));
}
