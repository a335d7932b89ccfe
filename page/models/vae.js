/**
 * Vision, V: a frame to a few Gaussian numbers and back, as `worldmodels/models/vae.py` has it. Its
 * convolutions are matrix products of all patches that the kernel lies on; its transposed ones make
 * patches by a product and add them up. Read `VAE.encode`.
 */

import { ModelError, requireLength } from './errors.js';
import { Arithmetic, NO_FLOOR } from './gemm.js';

const COLOURS = 3;
const FILTERS_FIT = 8; // a multiple of it, as gemm.js multiplies so many columns at once

export class VAE {
  #arithmetic = new Arithmetic();
  #kernel;
  #stride;
  #encoder; // convolutions, in order
  #encoderDense;
  #decoder; // transposed convolutions, in order
  #decoderDense;
  #patches; // address, of the largest layer's
  #product; // address, of what the encoder's products make
  #z; // address
  #answer; // address, of mean and log variance

  /** @param {import('./weights.js').Weights} weights */
  constructor(weights) {
    const { image_shape: imageShape, latent_dim: latentDim, filters, ...rest } =
      weights.settings.vae;
    if (filters.some((count) => count % FILTERS_FIT)) {
      throw new ModelError(`vae: filters: expected multiples of ${FILTERS_FIT}, got ${filters}`);
    }
    this.imageShape = imageShape; // height and width of a frame
    this.latentDim = latentDim;
    this.#kernel = rest.kernel;
    this.#stride = rest.stride;
    const channels = [COLOURS, ...filters];
    const maps = [imageShape]; // before, between and after the convolutions
    for (const _ of filters) maps.push(maps.at(-1).map((side) => this.#convolved(side)));
    const flat = maps.at(-1)[0] * maps.at(-1)[1] * filters.at(-1);

    const read = (name, shape) =>
      this.#arithmetic.layer(
        weights.tensor(`vae/${name}/kernel`, shape),
        weights.tensor(`vae/${name}/bias`, shape.slice(-1)),
      );
    this.#encoder = filters.map((count, index) => {
      const kernel = [this.#kernel, this.#kernel, channels[index], count];
      const layer = read(`encoder/convolution_${index}`, kernel);
      return this.#convolution(layer, maps[index], maps[index + 1], channels[index]);
    });
    this.#encoderDense = read('encoder/dense', [flat, 2 * latentDim]);
    this.#decoderDense = read('decoder/dense', [latentDim, flat]);
    this.#decoder = filters.map((_, index) => {
      const level = filters.length - index;
      const [inputs, outputs] = [channels[level], channels[level - 1]];
      const name = `vae/decoder/transposed_${index}`;
      const shape = [this.#kernel, this.#kernel, outputs, inputs]; // as Keras has it
      const patch = this.#kernel * this.#kernel * outputs;
      const layer = this.#arithmetic.layer(
        transposed(weights.tensor(`${name}/kernel`, shape), patch, inputs),
        new Float32Array(patch), // patches overlap: the bias comes afterwards
      );
      const bias = weights.tensor(`${name}/bias`, [outputs]);
      return this.#transposedConvolution(layer, bias, maps[level], maps[level - 1], inputs);
    });

    const largest = (layers, size) => Math.max(...layers.map(size));
    const rows = ({ grid }) => grid.height * grid.width;
    this.#patches = this.#arithmetic.allocate(
      Math.max(
        largest(this.#encoder, (each) => rows(each) * each.layer.inner),
        largest(this.#decoder, (each) => rows(each) * each.layer.columns),
      ),
    );
    this.#product = this.#arithmetic.allocate(
      largest(this.#encoder, (each) => rows(each) * each.layer.columns),
    );
    this.#z = this.#arithmetic.allocate(latentDim);
    this.#answer = this.#arithmetic.allocate(this.#encoderDense.columns);
  }

  /**
   * A frame to the mean and log variance of z.
   * @param {Uint8Array | Uint8ClampedArray} frame (height, width, 3), red, green and blue
   * @returns {{ mean: Float32Array, logVar: Float32Array }} (latentDim,) each
   */
  encode(frame) {
    const [height, width] = this.imageShape;
    requireLength('frame', frame, height * width * COLOURS);
    if (frame.BYTES_PER_ELEMENT !== 1) {
      throw new ModelError(`frame: expected bytes, got ${frame.constructor.name}`);
    }
    const first = this.#encoder[0];
    this.#placeRows(frame, width * COLOURS, first, 1 / 255);
    this.#encoder.forEach(({ layer, grid, picture }, index) => {
      this.#arithmetic.gather(picture, this.#patches, grid);
      const places = grid.height * grid.width;
      this.#arithmetic.product(this.#patches, layer, this.#product, places, 0);
      const next = this.#encoder[index + 1];
      if (!next) return;
      const made = this.#arithmetic.view(this.#product, places * layer.columns);
      this.#placeRows(made, grid.width * layer.columns, next, 1);
    });
    this.#arithmetic.product(this.#product, this.#encoderDense, this.#answer, 1, NO_FLOOR);
    const answer = this.#arithmetic.view(this.#answer, 2 * this.latentDim);
    return { mean: answer.slice(0, this.latentDim), logVar: answer.slice(this.latentDim) };
  }

  /**
   * z to a frame.
   * @param {ArrayLike<number>} z (latentDim,)
   * @param {Uint8ClampedArray} [frame] where to, (height, width, 3)
   * @returns {Uint8ClampedArray} the frame
   */
  decode(z, frame = new Uint8ClampedArray(this.#size)) {
    requireLength('frame', frame, this.#size);
    const logits = this.#logits(z);
    // The array rounds as numpy's rint does, halves to the even number.
    for (let at = 0; at < logits.length; at++) frame[at] = 255 / (1 + Math.exp(-logits[at]));
    return frame;
  }

  /**
   * z to a frame's values from 0 to 1, before they are rounded.
   * @param {ArrayLike<number>} z (latentDim,)
   * @returns {Float32Array} (height, width, 3)
   */
  decoder(z) {
    return this.#logits(z).map((logit) => 1 / (1 + Math.exp(-logit)));
  }

  get #size() {
    return this.imageShape[0] * this.imageShape[1] * COLOURS;
  }

  /** A frame as the decoder has it before the sigmoid; a view of the memory. */
  #logits(z) {
    requireLength('z', z, this.latentDim);
    this.#arithmetic.view(this.#z, this.latentDim).set(z);
    const [first] = this.#decoder;
    this.#arithmetic.product(this.#z, this.#decoderDense, first.input, 1, NO_FLOOR);
    this.#decoder.forEach((each, index) => {
      const { layer, grid, input, picture, rows } = each;
      this.#arithmetic.product(input, layer, this.#patches, grid.height * grid.width, NO_FLOOR);
      this.#arithmetic.view(picture, rows * grid.across * grid.channels).fill(0);
      this.#arithmetic.scatter(picture, this.#patches, grid);
      const next = this.#decoder[index + 1];
      this.#finish(each, next?.input ?? picture, next ? 0 : NO_FLOOR);
    });
    return this.#arithmetic.view(this.#decoder.at(-1).picture, this.#size);
  }

  /** Adds the bias, and leaves out what the encoder had added; `output` may be the picture. */
  #finish({ bias, grid, picture, rows, made }, output, floor) {
    const [height, width] = made;
    const channels = bias.length;
    const from = this.#arithmetic.view(picture, rows * grid.across * channels);
    const to = this.#arithmetic.view(output, height * width * channels);
    let at = 0;
    for (let row = 0; row < height; row++) {
      let place = row * grid.across * channels;
      for (let column = 0; column < width; column++) {
        for (let channel = 0; channel < channels; channel++) {
          const value = from[place++] + bias[channel];
          to[at++] = value > floor ? value : floor;
        }
      }
    }
  }

  /** Copies rows into a layer's picture, which is wider where zeros are added. */
  #placeRows(values, row, { grid, picture, rows }, factor) {
    const across = grid.across * grid.channels;
    const to = this.#arithmetic.view(picture, rows * across);
    for (let from = 0, at = 0; from < values.length; from += row, at += across) {
      if (factor === 1) to.set(values.subarray(from, from + row), at);
      else for (let step = 0; step < row; step++) to[at + step] = values[from + step] * factor;
    }
  }

  /** A side with the zeros that are added below or to the right, so that every pixel is met. */
  #padded(side) {
    return side + Math.max(this.#kernel - side, side % this.#stride);
  }

  #convolved(side) {
    return (this.#padded(side) - this.#kernel) / this.#stride + 1;
  }

  /** Of `before`, a map of so many channels, to `after`. */
  #convolution(layer, before, after, channels) {
    const [rows, across] = before.map((side) => this.#padded(side));
    const [height, width] = after;
    const grid = { height, width, kernel: this.#kernel, stride: this.#stride, across, channels };
    return { layer, grid, rows, picture: this.#arithmetic.allocate(rows * across * channels) };
  }

  /** Of `before`, a map of so many channels, to `after`, a map of as many as the bias has. */
  #transposedConvolution(layer, bias, before, after, inputs) {
    const [rows, across] = before.map((side) => (side - 1) * this.#stride + this.#kernel);
    const [height, width] = before;
    const channels = bias.length;
    return {
      layer,
      bias,
      grid: { height, width, kernel: this.#kernel, stride: this.#stride, across, channels },
      rows,
      input: this.#arithmetic.allocate(height * width * inputs),
      picture: this.#arithmetic.allocate(rows * across * channels),
      made: after,
    };
  }
}

/** A matrix (rows, columns), columns first. */
function transposed(matrix, rows, columns) {
  const turned = new Float32Array(matrix.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      turned[column * rows + row] = matrix[row * columns + column];
    }
  }
  return turned;
}
