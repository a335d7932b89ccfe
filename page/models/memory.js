/**
 * Memory, M: an LSTM that reads z and an action, and says what comes next, as
 * `worldmodels/models/memory.py` has it; drawing from that, as `worldmodels/dream/imagination.py`.
 * Read `Memory.step`, then `Memory.mixture`.
 */

import { ACTIONS } from './controller.js';
import { ModelError, requireLength } from './errors.js';
import { Arithmetic, NO_FLOOR } from './gemm.js';

const PARAMETERS = 3; // of a Gaussian in a mixture: logit, mean and log standard deviation
const OUTCOMES = 3;

/**
 * M's state between steps.
 * @typedef {{ hidden: Float32Array, cell: Float32Array }} State (hiddenUnits,) each
 *
 * What comes next: for each number of z a mixture of Gaussians, one after the other.
 * @typedef {object} Mixture
 * @property {Float32Array} logWeight @property {Float32Array} mean @property {Float32Array} logStd
 *   (latentDim, mixtures) each; the log weights are normalised
 *
 * What M expects of a step.
 * @typedef {object} Outcome
 * @property {number} progress in this step
 * @property {number} end the chance that the episode ends by it
 * @property {number} later progress in the steps after it, so many as `settings.task.later` says
 */

export class Memory {
  #arithmetic = new Arithmetic();
  #lstm;
  #head;
  #outcome; // two layers
  #laterUnit;
  #read; // address, of what a layer reads
  #made; // address, of what a layer makes
  #last; // address, of what the outcome's last layer makes

  /** @param {import('./weights.js').Weights} weights */
  constructor(weights) {
    const settings = weights.settings.memory;
    const { latent_dim: latentDim, hidden_units: hiddenUnits, mixtures } = settings;
    this.latentDim = latentDim;
    this.hiddenUnits = hiddenUnits;
    this.mixtures = mixtures;
    this.hasOutcome = settings.has_outcome;
    this.#laterUnit = settings.later_unit;
    const read = (name, shape) => weights.tensor(`memory/${name}`, shape);
    const [gates, features] = [4 * hiddenUnits, latentDim + hiddenUnits];
    const outputs = PARAMETERS * mixtures * latentDim;
    const between = settings.outcome_units;
    const layer = (name, inner, columns) =>
      this.#arithmetic.layer(
        read(`${name}/kernel`, [inner, columns]),
        read(`${name}/bias`, [columns]),
      );
    // One product for what the gates read and what they remember.
    const kernel = new Float32Array((latentDim + ACTIONS + hiddenUnits) * gates);
    kernel.set(read('lstm/kernel', [latentDim + ACTIONS, gates]));
    const recurrent = read('lstm/recurrent_kernel', [hiddenUnits, gates]);
    kernel.set(recurrent, (latentDim + ACTIONS) * gates);
    this.#lstm = this.#arithmetic.layer(kernel, read('lstm/bias', [gates]));
    this.#head = layer('head', features, outputs);
    this.#outcome = [
      layer('outcome_0', features, between),
      layer('outcome_1', between, OUTCOMES),
    ];
    /** The mean of [z, h], (latentDim + hiddenUnits,), from which C reads how far a step is. */
    this.featureMean = read('feature_mean', [features]);
    const bounds = weights.tensor('starts/bounds', [2, latentDim]);
    /** The least and the largest that z can be, (latentDim,) each. */
    this.bounds = { low: bounds.subarray(0, latentDim), high: bounds.subarray(latentDim) };
    this.#read = this.#arithmetic.allocate(this.#lstm.inner);
    this.#made = this.#arithmetic.allocate(
      Math.max(this.#lstm.columns, this.#head.columns, this.#outcome[0].columns),
    );
    this.#last = this.#arithmetic.allocate(this.#outcome[1].columns);
  }

  /**
   * At the start of an episode.
   * @returns {State}
   */
  start() {
    const zeros = () => new Float32Array(this.hiddenUnits);
    return { hidden: zeros(), cell: zeros() };
  }

  /**
   * One step of the LSTM.
   * @param {State} state is left as it is
   * @param {ArrayLike<number>} z (latentDim,)
   * @param {ArrayLike<number>} action (3,)
   * @returns {State} the next one
   */
  step(state, z, action) {
    requireLength('z', z, this.latentDim);
    requireLength('action', action, ACTIONS);
    requireLength('hidden', state.hidden, this.hiddenUnits);
    requireLength('cell', state.cell, this.hiddenUnits);
    const units = this.hiddenUnits;
    const gates = this.#layer(this.#lstm, [z, action, state.hidden], 4 * units);
    const [take, keep, add, give] = [0, 1, 2, 3].map((gate) => gate * units); // Keras' order
    const next = this.start();
    for (let unit = 0; unit < units; unit++) {
      next.cell[unit] =
        sigmoid(gates[keep + unit]) * state.cell[unit] +
        sigmoid(gates[take + unit]) * Math.tanh(gates[add + unit]);
      next.hidden[unit] = sigmoid(gates[give + unit]) * Math.tanh(next.cell[unit]);
    }
    return next;
  }

  /**
   * What comes next.
   * @param {Float32Array} hidden after a step, (hiddenUnits,)
   * @param {ArrayLike<number>} z that the step was taken on, (latentDim,)
   * @returns {Mixture}
   */
  mixture(hidden, z) {
    this.#requireFeatures(hidden, z);
    const count = this.mixtures;
    const outputs = PARAMETERS * count * this.latentDim;
    const parameters = this.#layer(this.#head, [hidden, z], outputs);
    const mixture = {};
    ['logWeight', 'mean', 'logStd'].forEach((name, place) => {
      mixture[name] = new Float32Array(this.latentDim * count);
      for (let latent = 0; latent < this.latentDim; latent++) {
        const from = (PARAMETERS * latent + place) * count;
        mixture[name].set(parameters.subarray(from, from + count), latent * count);
      }
    });
    normalise(mixture.logWeight, count);
    return mixture;
  }

  /**
   * The mean of a mixture.
   * @param {Mixture} mixture
   * @returns {Float32Array} (latentDim,)
   */
  expected({ logWeight, mean }) {
    const z = new Float32Array(this.latentDim);
    for (let latent = 0; latent < this.latentDim; latent++) {
      let sum = 0;
      for (let each = 0, at = latent * this.mixtures; each < this.mixtures; each++, at++) {
        sum += Math.exp(logWeight[at]) * mean[at];
      }
      z[latent] = sum;
    }
    return z;
  }

  /**
   * A z that may come next, within the bounds.
   * @param {Mixture} mixture
   * @param {number} temperature how far it is drawn from what is likely: it divides the logits and
   *   multiplies the variances; 0 takes the mean
   * @param {import('./random.js').Source} random gives a uniform number for each number of z, then
   *   a normal one for each; none at temperature 0
   * @returns {Float32Array} (latentDim,)
   */
  sample(mixture, temperature, random) {
    if (!(temperature >= 0)) {
      throw new ModelError(`temperature: expected 0 or more, got ${temperature}`);
    }
    const z =
      temperature === 0 ? this.expected(mixture) : this.#drawn(mixture, temperature, random);
    const { low, high } = this.bounds;
    return z.map((value, latent) => Math.min(Math.max(value, low[latent]), high[latent]));
  }

  #drawn({ logWeight, mean, logStd }, temperature, random) {
    const count = this.mixtures;
    const sharpened = normalise(logWeight.map((value) => value / temperature), count);
    const uniform = Float32Array.from({ length: this.latentDim }, () => random.uniform());
    const spread = Math.sqrt(temperature);
    return Float32Array.from({ length: this.latentDim }, (_, latent) => {
      const first = latent * count;
      let drawn = first;
      let below = Math.exp(sharpened[first]); // the weights up to this one
      while (below < uniform[latent] && drawn < first + count - 1) {
        drawn++;
        below += Math.exp(sharpened[drawn]);
      }
      return mean[drawn] + Math.exp(logStd[drawn]) * spread * random.normal();
    });
  }

  /**
   * What comes of a step.
   * @param {Float32Array} hidden after it, (hiddenUnits,)
   * @param {ArrayLike<number>} z that it was taken on, (latentDim,)
   * @returns {Outcome}
   */
  outcome(hidden, z) {
    if (!this.hasOutcome) {
      throw new ModelError(
        'memory: expected one that learnt what steps pay, got one that was trained without; set ' +
          'memory.outcome_weight and train it anew',
      );
    }
    this.#requireFeatures(hidden, z);
    const [first, last] = this.#outcome;
    this.#layer(first, [hidden, z], 0, 0);
    this.#arithmetic.product(this.#made, last, this.#last, 1, NO_FLOOR);
    const [progress, end, later] = this.#arithmetic.view(this.#last, OUTCOMES);
    return {
      progress: softplus(progress),
      end: sigmoid(end),
      later: this.#laterUnit * softplus(later),
    };
  }

  #requireFeatures(hidden, z) {
    requireLength('hidden', hidden, this.hiddenUnits);
    requireLength('z', z, this.latentDim);
  }

  /** What a layer makes of these vectors, one behind the other; a view of the memory. */
  #layer(layer, vectors, outputs, floor = NO_FLOOR) {
    const read = this.#arithmetic.view(this.#read, layer.inner);
    let at = 0;
    for (const vector of vectors) {
      read.set(vector, at);
      at += vector.length;
    }
    this.#arithmetic.product(this.#read, layer, this.#made, 1, floor);
    return this.#arithmetic.view(this.#made, outputs);
  }
}

const sigmoid = (value) => 1 / (1 + Math.exp(-value));
const softplus = (value) => Math.max(value, 0) + Math.log1p(Math.exp(-Math.abs(value)));

/** Takes from each row of so many numbers the log of the sum of their exponentials; in place. */
function normalise(logits, count) {
  for (let first = 0; first < logits.length; first += count) {
    const row = logits.subarray(first, first + count);
    const largest = Math.max(...row);
    let sum = 0;
    for (const logit of row) sum += Math.exp(logit - largest);
    const norm = largest + Math.log(sum);
    for (let at = 0; at < count; at++) row[at] -= norm;
  }
  return logits;
}
