/** Places on a grid of pixels. Pure functions. */

const inside = (value, side) => Math.min(side - 1, Math.max(0, value));

/** [row, column] of a point, for a grid that is shown in the rectangle `area`; points beside it count to its edge. */
export function cellAt({ x, y }, area, side) {
  const place = (at, from, length) => inside(Math.floor(((at - from) / length) * side), side);
  return [place(y, area.top, area.height), place(x, area.left, area.width)];
}

/** All pixels from one to another: a pointer that moves fast skips some. */
export function line([fromRow, fromColumn], [row, column]) {
  const steps = Math.max(1, Math.abs(row - fromRow), Math.abs(column - fromColumn));
  return Array.from({ length: steps + 1 }, (_, i) => [
    Math.round(fromRow + (i / steps) * (row - fromRow)),
    Math.round(fromColumn + (i / steps) * (column - fromColumn)),
  ]);
}

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** Where an arrow key leads, or null for another key. */
export function moved([row, column], key, side) {
  if (!Object.hasOwn(MOVES, key)) return null;
  const [down, across] = MOVES[key];
  return [inside(row + down, side), inside(column + across, side)];
}

/** Sets a pixel; a wide brush also touches those beside it, by half. */
export function dab(values, side, [row, column], value, wide) {
  values[row * side + column] = value;
  if (!wide) return;
  for (const [down, across] of Object.values(MOVES)) {
    const [r, c] = [row + down, column + across];
    if (r !== inside(r, side) || c !== inside(c, side)) continue;
    const old = values[r * side + c];
    values[r * side + c] = value ? Math.max(old, value / 2) : Math.min(old, 0.5 * old);
  }
}

/** The size and place of a picture of width × height, fitted into the square of the grid. */
export function fitted(width, height, side) {
  const scale = side / Math.max(width, height);
  const [w, h] = [width, height].map((length) => Math.max(1, Math.round(length * scale)));
  return { width: w, height: h, left: Math.floor((side - w) / 2), top: Math.floor((side - h) / 2) };
}
