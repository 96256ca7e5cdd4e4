import { paint } from "./pictures.js";

/**
 * A picture of side × side pixels to be drawn on with a pointer or from the keyboard: arrow keys move a
 * cursor, Space and Enter set the pixel under it with the chosen brush, and each brush has keys of its own.
 *
 * @typedef {{value: number, name: string, keys: string[]}} Brush
 */
export class Grid {
  #cursor = [0, 0];
  #previous = null;

  /**
   * @param {HTMLElement} box holds the canvas, the mark of the cursor and the text that says where it is
   * @param {{side: number, colour: Function, brushes: Brush[], onChange: Function, wide?: boolean}} options
   *   onChange is called after every change; wide brushes also touch the pixels beside, by half.
   */
  constructor(box, { side, colour, brushes, onChange, wide = false }) {
    Object.assign(this, { side, colour, brushes, onChange, wide, brush: brushes[0].value });
    this.values = new Float32Array(side * side);
    this.canvas = box.querySelector("canvas");
    this.mark = box.querySelector(".pg-cursor");
    this.text = box.querySelector("[aria-live]");
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault(); // no text is selected while drawing
      this.canvas.focus({ preventScroll: true, focusVisible: false });
      this.canvas.setPointerCapture(event.pointerId);
      this.#previous = null;
      this.#stroke(event);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.canvas.hasPointerCapture(event.pointerId)) this.#stroke(event);
    });
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("focus", () => this.#moveTo(...this.#cursor, false));
    this.draw();
  }

  draw() {
    paint(this.canvas, this.values, this.side, this.colour);
  }

  /** Replaces the picture, without telling onChange. */
  show(values) {
    this.values = Float32Array.from(values);
    this.draw();
  }

  #cell(event) {
    const area = this.canvas.getBoundingClientRect();
    const place = (at, from, length) => Math.min(this.side - 1, Math.max(0, Math.floor(((at - from) / length) * this.side)));
    return [place(event.clientY, area.top, area.height), place(event.clientX, area.left, area.width)];
  }

  /** A pointer that moves fast skips pixels; the line between is filled. */
  #stroke(event) {
    const [row, column] = this.#cell(event);
    const [fromRow, fromColumn] = this.#previous ?? [row, column];
    const steps = Math.max(1, Math.abs(row - fromRow), Math.abs(column - fromColumn));
    for (let i = 0; i <= steps; i++) {
      const part = i / steps;
      this.#set(Math.round(fromRow + part * (row - fromRow)), Math.round(fromColumn + part * (column - fromColumn)), this.brush);
    }
    this.#previous = [row, column];
    this.#moveTo(row, column, false);
    this.draw();
    this.onChange();
  }

  #set(row, column, value) {
    this.values[row * this.side + column] = value;
    if (!this.wide) return;
    for (const [down, across] of [[0, 1], [1, 0], [0, -1], [-1, 0]]) {
      const [r, c] = [row + down, column + across];
      if (r < 0 || c < 0 || r >= this.side || c >= this.side) continue;
      const old = this.values[r * this.side + c];
      this.values[r * this.side + c] = value ? Math.max(old, value / 2) : Math.min(old, 0.5 * old);
    }
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const [row, column] = this.#cursor;
    if (moves[event.key]) {
      const inside = (value) => Math.min(this.side - 1, Math.max(0, value));
      this.#moveTo(inside(row + moves[event.key][0]), inside(column + moves[event.key][1]));
    } else {
      const own = this.brushes.find((brush) => brush.keys.includes(event.key));
      if (!own && event.key !== " " && event.key !== "Enter") return;
      this.#set(row, column, own ? own.value : this.brush);
      this.draw();
      this.#moveTo(row, column);
      this.onChange();
    }
    event.preventDefault(); // arrows and Space would scroll the page
  }

  #moveTo(row, column, say = true) {
    this.#cursor = [row, column];
    this.mark.style.insetBlockStart = `${(100 * row) / this.side}%`;
    this.mark.style.insetInlineStart = `${(100 * column) / this.side}%`;
    if (!say) return;
    const value = this.values[row * this.side + column];
    const name = this.brushes.find((brush) => brush.value === value)?.name ?? `${Math.round(100 * value)} %`;
    this.text.textContent = `row ${row + 1}, column ${column + 1}: ${name}`;
  }
}
