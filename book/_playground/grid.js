import { cellAt, dab, line, moved } from "./geometry.js";
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
   * @param {{side: number, color: Function, brushes: Brush[], onChange: Function, wide?: boolean}} options
   *   onChange is called after every change; wide brushes also touch the pixels beside, by half.
   */
  constructor(box, { side, color, brushes, onChange, wide = false }) {
    Object.assign(this, { side, color, brushes, onChange, wide, brush: brushes[0].value });
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
    this.canvas.addEventListener("focus", () => this.#moveTo(this.#cursor, false));
    this.draw();
  }

  draw() {
    paint(this.canvas, this.values, this.side, this.color);
  }

  /** Replaces the picture, without telling onChange. */
  show(values) {
    this.values = Float32Array.from(values);
    this.draw();
  }

  #stroke(event) {
    const cell = cellAt({ x: event.clientX, y: event.clientY }, this.canvas.getBoundingClientRect(), this.side);
    for (const each of line(this.#previous ?? cell, cell)) dab(this.values, this.side, each, this.brush, this.wide);
    this.#previous = cell;
    this.#moveTo(cell, false);
    this.draw();
    this.onChange();
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const next = moved(this.#cursor, event.key, this.side);
    if (next) this.#moveTo(next);
    else {
      const own = this.brushes.find((brush) => brush.keys.includes(event.key));
      if (!own && event.key !== " " && event.key !== "Enter") return;
      dab(this.values, this.side, this.#cursor, own ? own.value : this.brush, this.wide);
      this.draw();
      this.#moveTo(this.#cursor);
      this.onChange();
    }
    event.preventDefault(); // arrows and Space would scroll the page
  }

  #moveTo([row, column], say = true) {
    this.#cursor = [row, column];
    this.mark.style.insetBlockStart = `${(100 * row) / this.side}%`;
    this.mark.style.insetInlineStart = `${(100 * column) / this.side}%`;
    if (!say) return;
    const value = this.values[row * this.side + column];
    const name = this.brushes.find((brush) => brush.value === value)?.name ?? `${Math.round(100 * value)}%`;
    this.text.textContent = `row ${row + 1}, column ${column + 1}: ${name}`;
  }
}
