/**
 * CarRacing's clock: fifty steps a second, whatever the screen's rate is; a picture for each frame
 * of the screen. Read `Clock`.
 */

const STEP = 20; // milliseconds, as gym has it
const MOST_STEPS = 2; // between two pictures; a slow machine runs slower, it does not skip pictures
const RATE_EVERY = 1000; // milliseconds

export class Clock {
  /**
   * @param {() => void} step what happens fifty times a second
   * @param {() => void} draw shows it
   */
  constructor(step, draw) {
    this.paused = false;
    this.rate = null; // steps a second, over the last second that ran
    this.step = step;
    this.draw = draw;
    this.due = performance.now();
    this.counted = 0;
    this.countedFrom = this.due;
    requestAnimationFrame((now) => this.#frame(now));
  }

  /** Take one step and stay paused. */
  single() {
    this.step();
    this.draw();
  }

  #frame(now) {
    requestAnimationFrame((later) => this.#frame(later));
    if (this.paused) {
      this.due = this.countedFrom = now;
      this.counted = 0;
      return;
    }
    let steps = 0;
    while (now >= this.due && steps < MOST_STEPS) {
      this.step();
      this.due += STEP;
      steps += 1;
    }
    if (now > this.due + 5 * STEP) this.due = now; // what was missed is not made up for
    if (steps) this.draw();
    this.counted += steps;
    if (now - this.countedFrom >= RATE_EVERY) {
      this.rate = (1000 * this.counted) / (now - this.countedFrom);
      this.countedFrom = now;
      this.counted = 0;
    }
  }
}
