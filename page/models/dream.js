/**
 * The dream: M in the place of the environment, as `worldmodels/dream/imagination.py` has it. M
 * says what is seen next, what it pays, and whether the episode ends. Read `Dream.step`.
 */

import { ModelError, requireLength } from './errors.js';

/**
 * A moment to dream on from.
 * @typedef {object} Moment
 * @property {Float32Array} z (latentDim,)
 * @property {Float32Array} hidden @property {Float32Array} cell M's state before it reads z,
 *   (hiddenUnits,) each
 *
 * What M expects of a step that was dreamt; all but `ended` is null where M never learnt it.
 * @typedef {object} DreamtStep
 * @property {number | null} reward of the step
 * @property {number | null} progress in it
 * @property {number | null} end the chance that the episode ends by it
 * @property {number | null} value the reward of the steps after it, `settings.task.later` of them
 * @property {boolean} ended was the end drawn?
 */

/**
 * The moments that were exported with the models.
 * @param {import('./weights.js').Weights} weights
 * @returns {Moment[]}
 */
export function dreamStarts(weights) {
  const { latent_dim: latentDim, hidden_units: hiddenUnits } = weights.settings.memory;
  const sizes = { z: latentDim, hidden: hiddenUnits, cell: hiddenUnits };
  const all = (name) => weights.tensor(`starts/${name}`, [null, sizes[name]]);
  const row = (name, moment) =>
    all(name).subarray(moment * sizes[name], (moment + 1) * sizes[name]);
  return Array.from({ length: all('z').length / latentDim }, (_, moment) => ({
    z: row('z', moment),
    hidden: row('hidden', moment),
    cell: row('cell', moment),
  }));
}

export class Dream {
  #random;
  #task;

  /**
   * @param {import('./weights.js').Weights} weights says what progress pays
   * @param {import('./memory.js').Memory} memory dreams
   * @param {object} options
   * @param {Moment} options.start where it begins
   * @param {import('./random.js').Source} options.random draws what is seen next, and the end
   * @param {number} [options.temperature] see `Memory.sample`
   */
  constructor(weights, memory, { start, random, temperature = 1 }) {
    if (!random) throw new ModelError('random: expected a source to dream with, got none');
    this.memory = memory;
    this.temperature = temperature;
    this.#random = random;
    this.#task = weights.settings.task;
    this.begin(start);
  }

  /**
   * Begins anew.
   * @param {Moment} start
   */
  begin({ z, hidden, cell }) {
    requireLength('z', z, this.memory.latentDim);
    requireLength('hidden', hidden, this.memory.hiddenUnits);
    requireLength('cell', cell, this.memory.hiddenUnits);
    /** What is seen now, (latentDim,); V decodes it. */
    this.z = z;
    /** M's state before it reads z. */
    this.state = { hidden, cell };
  }

  /**
   * Dreams on.
   * @param {ArrayLike<number>} action steering, gas and brake
   * @returns {DreamtStep}
   */
  step(action) {
    const state = this.memory.step(this.state, this.z, action);
    const dreamt = this.#expected(state.hidden);
    const mixture = this.memory.mixture(state.hidden, this.z);
    this.z = this.memory.sample(mixture, this.temperature, this.#random);
    this.state = state;
    return { ...dreamt, ended: this.#random.uniform() < (dreamt.end ?? 0) };
  }

  /**
   * Dreams on with C at the wheel.
   * @param {import('./controller.js').Controller} controller
   * @returns {DreamtStep & { action: [number, number, number] }}
   */
  drive(controller) {
    const action = controller.act(this.z, this.state.hidden);
    return { action, ...this.step(action) };
  }

  #expected(hidden) {
    if (!this.memory.hasOutcome) return { reward: null, progress: null, end: null, value: null };
    const { progress, end, later } = this.memory.outcome(hidden, this.z);
    const task = this.#task;
    const reward = task.tile_reward * progress - task.frame_cost - task.off_field_cost * end;
    const value = task.tile_reward * later - task.frame_cost * task.later;
    return { reward, progress, end, value };
  }
}
