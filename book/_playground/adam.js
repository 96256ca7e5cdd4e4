/** Adam, as torch.optim.Adam with its default settings; it climbs. Pure but for its own memory. */
export class Adam {
  #first;
  #second;
  #steps = 0;

  constructor(length, rate) {
    this.rate = rate;
    this.#first = new Float64Array(length);
    this.#second = new Float64Array(length);
  }

  /** Moves the values, in place, to where what has this gradient is higher. */
  step(values, gradient) {
    this.#steps += 1;
    const [one, two] = [1 - 0.9 ** this.#steps, 1 - 0.999 ** this.#steps];
    for (let i = 0; i < values.length; i++) {
      this.#first[i] = 0.9 * this.#first[i] + 0.1 * gradient[i];
      this.#second[i] = 0.999 * this.#second[i] + 0.001 * gradient[i] ** 2;
      values[i] += (this.rate * this.#first[i]) / one / (Math.sqrt(this.#second[i] / two) + 1e-8);
    }
  }
}
