/**
 * The controller, C: one linear layer on [z, h] less their mean, as
 * `worldmodels/models/controller.py` has it. Read `Controller.act`.
 */

import { requireLength } from './errors.js';

export const ACTIONS = 3; // steering, gas and brake

export class Controller {
  #weights; // (features + 1, 3), the last row the bias
  #featureMean; // (features,)
  #sizes;

  /** @param {import('./weights.js').Weights} weights */
  constructor(weights) {
    const { latent_dim: z, hidden_units: h } = weights.settings.memory;
    this.#sizes = { z, h };
    this.inputs = weights.settings.controller.inputs; // of 'z' and 'h'
    this.latent = weights.settings.controller.latent; // is z drawn, 'sample', or its 'mean'?
    const features = this.inputs.reduce((sum, name) => sum + this.#sizes[name], 0);
    this.#weights = weights.tensor('controller/weights', [features + 1, ACTIONS]);
    const mean = weights.tensor('memory/feature_mean', [z + h]);
    const means = { z: mean.subarray(0, z), h: mean.subarray(z) };
    this.#featureMean = Float32Array.from(this.inputs.flatMap((name) => [...means[name]]));
  }

  /**
   * Goes on with other weights, as those of an evolution that is under way.
   * @param {ArrayLike<number>} weights (features + 1, 3), the last row the bias
   */
  take(weights) {
    requireLength('controller', weights, this.#weights.length);
    this.#weights = Float32Array.from(weights);
  }

  /**
   * What C does.
   * @param {ArrayLike<number>} z (latentDim,)
   * @param {ArrayLike<number>} h M's hidden state before it reads z, (hiddenUnits,)
   * @returns {[number, number, number]} steering from -1 to 1, gas and brake from 0 to 1
   */
  act(z, h) {
    const parts = { z, h };
    const outputs = [...this.#weights.subarray(-ACTIONS)]; // the bias
    let row = 0;
    for (const name of this.inputs) {
      requireLength(name, parts[name], this.#sizes[name]);
      for (const value of parts[name]) {
        const feature = value - this.#featureMean[row];
        for (let output = 0; output < ACTIONS; output++) {
          outputs[output] += feature * this.#weights[row * ACTIONS + output];
        }
        row++;
      }
    }
    const [steering, gas, brake] = outputs.map(Math.tanh);
    return [steering, (gas + 1) / 2, Math.max(brake, 0)];
  }
}
