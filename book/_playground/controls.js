/** What the reader can move, press, draw and choose. */

import { buildAdversarial } from "./adversarial.js";
import { buildGallery, others } from "./gallery.js";
import { Grid } from "./grid.js";
import { buildInside } from "./inside.js";
import { buildKey, drawKey } from "./key.js";
import { measure } from "./measure.js";
import { choose, chooseOwn } from "./networks.js";
import { $, brushesOf, ERASERS, fail, when } from "./page.js";
import { answerPicture, buildAnswers, readPicture } from "./picture.js";
import { gray } from "./pictures.js";
import { showTries } from "./scores.js";
import { buildShare } from "./share.js";
import { image, side, size, store } from "./store.js";
import { buildMissions } from "./tasks.js";
import { buildThief } from "./thief.js";

/** A file input forgets its file at once, read or not: the same name may be chosen again, with other content. */
function whenFile(id, take) {
  when(id, "change", async ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (file) await take(file);
  });
}

export function build() {
  buildGallery();
  buildAnswers();
  when("network", "change", (event) => choose(event.target.value));
  when("others", "click", () => {
    others(store.shown.at(-1) + 1);
    measure();
  });
  buildKey();
  buildThief();
  buildInside();
  buildAdversarial();
  buildMissions();
  buildShare();
  buildPicture();
  drawKey();
  whenFile("own", chooseOwn);
  const redraw = () => store.network && showTries();
  new ResizeObserver(redraw).observe($("tries"));
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}

function buildPicture() {
  const grid = new Grid($("picture"), {
    side: side(), color: gray, wide: true,
    brushes: [{ value: 1, name: "white", keys: ["1"] }, { value: 0.5, name: "gray", keys: ["2"] },
              { value: 0, name: "black", keys: ERASERS }],
    onChange: () => show(grid.values),
  });
  brushesOf(grid, "pg-picture-brush");

  function show(pixels) {
    if (pixels !== grid.values) grid.show(pixels);
    store.picture = Float32Array.from(pixels);
    answerPicture();
  }

  const inverted = (values) => values.map((value) => 1 - value);
  let next = 0;
  const testImage = () => {
    show(image(next));
    next = (next + 1) % store.contents.images.count;
  };

  whenFile("upload", async (file) => {
    $("upload-problem").hidden = true;
    try {
      const picture = await readPicture(file);
      show($("invert").checked ? inverted(picture) : picture);
    } catch {
      fail($("upload-problem"), `“${file.name}” could not be read as a picture. Take a PNG, JPEG or WebP file.`);
    }
  });
  when("invert", "change", () => show(inverted(grid.values)));
  when("picture-clear", "click", () => show(new Float32Array(size())));
  when("picture-test", "click", testImage);
  testImage();
}
