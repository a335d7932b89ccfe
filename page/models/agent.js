/**
 * V, M and C acting together, as `worldmodels/models/agent_policy.py` has it. Read `Agent.act`.
 */

import { Controller } from './controller.js';
import { ModelError } from './errors.js';
import { Memory } from './memory.js';
import { VAE } from './vae.js';

/**
 * What the agent saw and did in a step.
 * @typedef {object} View
 * @property {Float32Array} z V's mean, (latentDim,)
 * @property {[number, number, number]} action
 * @property {Uint8ClampedArray} reconstruction what V makes of z, (height, width, 3)
 * @property {Uint8ClampedArray} expectation the next frame as M expects it, (height, width, 3)
 */

export class Agent {
  #random;
  #before; // M's state before it read the last z

  /**
   * @param {VAE} vae @param {Memory} memory @param {Controller} controller
   * @param {import('./random.js').Source | null} random draws z where C was made for that
   */
  constructor(vae, memory, controller, random = null) {
    if (vae.latentDim !== memory.latentDim) {
      throw new ModelError(
        `memory: expected latents of ${vae.latentDim} numbers, as the VAE makes them, got a ` +
          `memory for ${memory.latentDim}`,
      );
    }
    if (controller.latent === 'sample' && !random) {
      throw new ModelError('random: expected a source, as C drives on drawn z, got none');
    }
    this.vae = vae;
    this.memory = memory;
    this.controller = controller;
    this.#random = random;
    this.reset();
  }

  /**
   * The agent of exported models.
   * @param {import('./weights.js').Weights} weights
   * @param {import('./random.js').Source} [random]
   * @returns {Agent}
   */
  static of(weights, random) {
    return new Agent(new VAE(weights), new Memory(weights), new Controller(weights), random);
  }

  /** Begins an episode. */
  reset() {
    this.state = this.memory.start();
    this.#before = this.state;
    /** V's mean of the last frame, (latentDim,); null before the first. */
    this.z = null;
    /** The last action; null before the first. */
    this.action = null;
  }

  /**
   * Chooses an action, and moves M on.
   * @param {Uint8Array | Uint8ClampedArray} frame (height, width, 3)
   * @returns {[number, number, number]} steering, gas and brake
   */
  act(frame) {
    const { mean, logVar } = this.vae.encode(frame);
    const z =
      this.controller.latent === 'mean'
        ? mean
        : mean.map((value, at) => value + Math.exp(logVar[at] / 2) * this.#random.normal());
    this.action = this.controller.act(z, this.state.hidden);
    this.z = mean;
    this.#before = this.state;
    this.state = this.memory.step(this.state, z, this.action);
    return this.action;
  }

  /**
   * What the agent saw and did in its last `act`; decoding takes as long as that, twice.
   * @returns {View}
   */
  view() {
    this.#requireFrame();
    const expected = this.memory.expected(this.memory.mixture(this.state.hidden, this.z));
    return {
      z: this.z,
      action: this.action,
      reconstruction: this.vae.decode(this.z),
      expectation: this.vae.decode(expected),
    };
  }

  /**
   * The moment of its last `act`, for a dream to begin at.
   * @returns {import('./dream.js').Moment}
   */
  moment() {
    this.#requireFrame();
    return { z: this.z, ...this.#before };
  }

  #requireFrame() {
    if (!this.z) throw new ModelError('agent: expected a frame to have been acted on, got none');
  }
}
