/**
 * A race: one car on one track, step by step, as gym's CarRacing-v2 goes (with its defaults, but
 * for its limit of 1000 steps), after `worldmodels/car_racing/race.py`. Read `Race`.
 */

import { TIME_STEP, control, drive, place } from './car_state.js';
import { solve } from './island.js';
import { Tiles } from './tiles.js';
import { PLAYFIELD, makeTrack } from './track.js';

const LAP_COMPLETE_SHARE = 0.95;

export class Race {
  #tiles;
  #paid = 0; // of the reward
  #newLap = false;

  /**
   * Put a new car on the first tile and let it settle for a step, as gym's `reset` does.
   * @param {number | bigint} seed of the track, an integer, 0 or more
   * @param {import('./track.js').Track} [track] of that seed, where it is made already
   */
  constructor(seed, track = makeTrack(seed)) {
    this.seed = seed;
    this.track = track;
    /** Steps taken. */
    this.steps = 0;
    /** Seconds since the start, as gym counts them: the step to settle is one. */
    this.time = 0;
    /** The sum of rewards, but for what leaving the field costs. */
    this.reward = 0;
    /** How many tiles a wheel has touched. */
    this.tilesVisited = 0;
    this.#tiles = new Tiles(track);
    const [, angle, x, y] = track.line;
    this.car = place(angle, x, y);
    this.#advance();
  }

  /**
   * Take an action for a fiftieth of a second.
   * @param {[number, number, number]} action steering from -1 (left) to 1, gas and brake from 0
   *   to 1
   * @returns {{reward: number, terminated: boolean, truncated: boolean}} terminated: the car left
   *   the field; truncated: the lap is complete
   */
  step([steering, gas, brake]) {
    control(this.car, steering, gas, brake);
    this.#advance();
    this.steps += 1;
    this.reward -= 0.1;
    const reward = this.reward - this.#paid;
    this.#paid = this.reward;
    const truncated = this.tilesVisited === this.tiles || this.#newLap;
    const terminated = this.car.position.subarray(0, 2).some((at) => Math.abs(at) > PLAYFIELD);
    return { reward: terminated ? -100 : reward, terminated, truncated };
  }

  #advance() {
    drive(this.car);
    for (const tile of this.#tiles.touch(this.car)) this.#visit(tile);
    solve(this.car);
    this.time += TIME_STEP;
  }

  #visit(tile) {
    this.reward += 1000.0 / this.tiles;
    this.tilesVisited += 1;
    if (tile === 0 && this.tilesVisited / this.tiles > LAP_COMPLETE_SHARE) this.#newLap = true;
  }

  /** How many tiles the track has. */
  get tiles() {
    return this.track.tiles;
  }

  /** (tiles) 1 where hull or wheel touched a tile, which then has lost its shade. */
  get touched() {
    return this.#tiles.touched;
  }

  /** World units a second. */
  get speed() {
    const [x, y] = this.car.velocity;
    return Math.hypot(x, y);
  }

  /** Radians that the front wheels are steered, positive to the left: gym's `joint.angle`. */
  get steering() {
    return Math.fround(this.car.angle[1] - this.car.angle[0]);
  }

  /** Where the hull is: x and y in world units, angle in radians. */
  get hull() {
    return this.#pose(0);
  }

  /** Where the four wheels are, and how far each has rolled (radians) and how fast (a second). */
  get wheels() {
    const { phase, omega } = this.car;
    return [0, 1, 2, 3].map((wheel) => ({
      ...this.#pose(wheel + 1),
      phase: phase[wheel],
      omega: omega[wheel],
    }));
  }

  #pose(body) {
    const { position, angle } = this.car;
    return { x: position[2 * body], y: position[2 * body + 1], angle: angle[body] };
  }
}
