/** Pictures on canvases: images, perturbations, a histogram. */

/** Gray pixels of [0, 1]; what lies outside is shown as black or white. */
export const gray = (value) => {
  const level = Math.round(255 * Math.min(1, Math.max(0, value)));
  return [level, level, level];
};

/** Blue for −1, white for 0, red for 1: the ends of Matplotlib's RdBu. */
export const blueWhiteRed = (value) => {
  const end = value < 0 ? [5, 48, 97] : [103, 0, 31];
  const share = Math.min(1, Math.abs(value));
  const middle = value < 0 ? [67, 147, 195] : [214, 96, 77];
  // white → middle → end, so that small changes can be told from none
  const [from, to, t] = share < 0.5 ? [[255, 255, 255], middle, 2 * share] : [middle, end, 2 * share - 1];
  return from.map((level, i) => Math.round(level + t * (to[i] - level)));
};

/**
 * Draws pixels on a canvas of their size; CSS makes it larger.
 * @param {(value: number) => number[]} color gray or blueWhiteRed
 */
export function paint(canvas, values, side, color) {
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(side, side);
  for (let i = 0; i < side * side; i++) picture.data.set([...color(values[i]), 255], 4 * i);
  context.putImageData(picture, 0, 0);
}

/**
 * Bars of how many of the shares fall into each twentieth.
 * @param {{at: number | null, dashed: boolean}[]} marks lines at a share
 */
export function histogram(canvas, shares, marks, style) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth || 480, 180];
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const [left, right, top, bottom] = [34, 12, 12, 38];
  const counts = new Array(20).fill(0);
  for (const share of shares) counts[Math.max(0, Math.min(19, Math.floor(share * 20)))]++;
  const most = Math.max(4, ...counts);
  const x = (share) => left + share * (width - left - right);
  const y = (count) => height - bottom - (count / most) * (height - top - bottom);

  context.font = `12px ${style.fontFamily}`;
  context.fillStyle = context.strokeStyle = style.color;
  context.textAlign = "center";
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) context.fillText(`${100 * tick}`, x(tick), height - bottom + 16);
  context.fillText(style.axis, x(0.5), height - 5);
  context.textAlign = "right";
  for (const tick of [0, most]) context.fillText(`${tick}`, left - 7, y(tick) + 4);
  context.save();
  context.translate(11, y(most / 2));
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText("keys", 0, 0);
  context.restore();
  context.fillStyle = "#56B4E9"; // Okabe and Ito's sky blue: seen on white and on black
  counts.forEach((count, i) => context.fillRect(x(i / 20) + 1, y(count), x(1 / 20) - x(0) - 2, y(0) - y(count)));
  context.beginPath();
  context.moveTo(left, y(0));
  context.lineTo(width - right, y(0));
  context.stroke();
  for (const { at, dashed } of marks) {
    if (at === null) continue;
    context.strokeStyle = dashed ? style.color : "#D55E00";
    context.lineWidth = dashed ? 1.5 : 2.5;
    context.setLineDash(dashed ? [4, 3] : []);
    context.beginPath();
    context.moveTo(x(at), y(0));
    context.lineTo(x(at), top - 6);
    context.stroke();
  }
}

/**
 * A climb as it goes: two lines over its steps, both as shares of what is possible.
 * @param {{score: number, accuracy: number | null}[]} steps done so far; total: how many there will be
 */
export function curve(canvas, steps, total, style) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth || 480, 180];
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const [left, right, top, bottom] = [34, 12, 12, 38];
  const x = (step) => left + ((width - left - right) * step) / total;
  const y = (share) => height - bottom - share * (height - top - bottom);
  context.font = `12px ${style.fontFamily}`;
  context.fillStyle = context.strokeStyle = style.color;
  context.textAlign = "center";
  for (const tick of [0, total / 2, total]) context.fillText(`${tick}`, x(tick), height - bottom + 16);
  context.fillText("steps of the climb", x(total / 2), height - 5);
  context.textAlign = "right";
  for (const tick of [0, 0.5, 1]) context.fillText(`${100 * tick}`, left - 7, y(tick) + 4);
  context.lineWidth = 1;
  context.strokeRect(left, top, width - left - right, height - top - bottom);
  const line = (what, color, dash) => {
    const points = steps.map((step, i) => [i, step[what]]).filter(([, share]) => share !== null);
    context.strokeStyle = color;
    context.lineWidth = 2.5;
    context.setLineDash(dash);
    context.beginPath();
    points.forEach(([i, share], n) => context[n ? "lineTo" : "moveTo"](x(i), y(share)));
    context.stroke();
  };
  line("accuracy", "#56B4E9", []);
  line("score", "#D55E00", [6, 3]);
}

/** Feature maps beside and below each other, white where a map has its most. maps: how many of height × width. */
export function mosaic(canvas, data, maps, height, width, most) {
  const columns = Math.ceil(Math.sqrt(maps));
  canvas.width = columns * (width + 1) - 1;
  canvas.height = Math.ceil(maps / columns) * (height + 1) - 1;
  const context = canvas.getContext("2d");
  for (let map = 0; map < maps; map++) {
    const picture = context.createImageData(width, height);
    for (let i = 0; i < height * width; i++) picture.data.set([...gray(Math.sqrt(Math.max(0, data[map * height * width + i]) / (most || 1))), 255], 4 * i);
    context.putImageData(picture, (map % columns) * (width + 1), Math.floor(map / columns) * (height + 1));
  }
}
