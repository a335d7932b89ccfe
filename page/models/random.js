/**
 * Numbers drawn from a seed, the same in every browser but for last bits of normal ones. Read
 * `Random`.
 *
 * What draws: anything with these two.
 * @typedef {object} Source
 * @property {() => number} uniform a number from 0 to below 1
 * @property {() => number} normal a number of the standard normal distribution
 */

/** @implements {Source} by Mulberry32, and Box and Muller's method. */
export class Random {
  #state;
  #spare = null; // Box and Muller's comes in pairs

  /** @param {number} seed an integer, of which 32 bits count */
  constructor(seed) {
    this.#state = seed | 0;
  }

  uniform() {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  }

  normal() {
    if (this.#spare !== null) {
      const spare = this.#spare;
      this.#spare = null;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform())); // of 1 - 0, the log exists
    const angle = 2 * Math.PI * this.uniform();
    this.#spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}
