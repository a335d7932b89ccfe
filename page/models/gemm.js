/**
 * Matrix products, and convolutions as matrix products, in WebAssembly. Weights and everything that
 * a network computes on the way lie in one memory, at addresses. Read `Arithmetic.product`.
 */

import { ModelError } from './errors.js';

// gemm.wat in binary; `wasmtime.wat2wasm` makes it, and tests/test_page_models.py says how.
const CODE = [
  'AGFzbQEAAAABKwRgB39/f39/f3sAYAZ/f39/f3sAYAh/f39/f39/fQBgCX9/f39/f39/fwADBgUAAQIDAwUDAQABBycE',
  'Bm1lbW9yeQIAB3Byb2R1Y3QAAgZnYXRoZXIAAwdzY2F0dGVyAAQK5AcFkQMCBH8LeyAAIAFqIQcgByABaiEIIAggAWoh',
  'CSAHIQogA/0ABAAhDiAD/QAEECEPIA4hECAPIREgDiESIA8hEyAOIRQgDyEVA0AgAv0ABAAhDCAC/QAEECENIAD9CQIA',
  'IQsgDiALIAz95gH95AEhDiAPIAsgDf3mAf3kASEPIAf9CQIAIQsgECALIAz95gH95AEhECARIAsgDf3mAf3kASERIAj9',
  'CQIAIQsgEiALIAz95gH95AEhEiATIAsgDf3mAf3kASETIAn9CQIAIQsgFCALIAz95gH95AEhFCAVIAsgDf3mAf3kASEV',
  'IAJBIGohAiAHQQRqIQcgCEEEaiEIIAlBBGohCSAAQQRqIQAgACAKRw0ACyAEIA4gBv3pAf0LBAAgBCAPIAb96QH9CwQQ',
  'IAQgBWohBCAEIBAgBv3pAf0LBAAgBCARIAb96QH9CwQQIAQgBWohBCAEIBIgBv3pAf0LBAAgBCATIAb96QH9CwQQIAQg',
  'BWohBCAEIBQgBv3pAf0LBAAgBCAVIAb96QH9CwQQC3sCAX8DeyAAIAFqIQYgA/0ABAAhCCAD/QAEECEJA0AgAP0JAgAh',
  'ByAIIAcgAv0ABAD95gH95AEhCCAJIAcgAv0ABBD95gH95AEhCSACQSBqIQIgAEEEaiEAIAAgBkcNAAsgBCAIIAX96QH9',
  'CwQAIAQgCSAF/ekB/QsEEAu7AQMCfwF7BH8gBUECdCEIIAZBAnQhCSADIAlqIQ4gB/0TIQoDQCAAIQsgAyEMIAQhDQJA',
  'A0AgDUEESQ0BIAsgCCABIAIgDCAJIAoQACALIAhBAnRqIQsgDCAJQQJ0aiEMIA1BBGshDQwACwsCQANAIA1FDQEgCyAI',
  'IAEgAiAMIAoQASALIAhqIQsgDCAJaiEMIA1BAWshDQwACwsgASAIQQN0aiEBIAJBIGohAiADQSBqIQMgAyAORw0ACwuD',
  'AQEHfyAAIQkgAiEMA0AgCSEKIAMhDQNAIAohCyAEIQ4DQEEAIQ8DQCABIA9qIAsgD2r9AAQA/QsEACAPQRBqIQ8gDyAF',
  'SQ0ACyABIAVqIQEgCyAGaiELIA5BAWsiDg0ACyAKIAhqIQogDUEBayINDQALIAkgB2ohCSAMQQFrIgwNAAsLkAEBCH8g',
  'ACEJIAIhDQNAIAkhCiADIQ4DQCAKIQsgBCEPA0BBACEQA0AgCyAQaiEMIAwgDP0ABAAgASAQav0ABAD95AH9CwQAIBBB',
  'EGohECAQIAVJDQALIAEgBWohASALIAZqIQsgD0EBayIPDQALIAogCGohCiAOQQFrIg4NAAsgCSAHaiEJIA1BAWsiDQ0A',
  'Cws=',
].join('');

const PAGE = 65536; // bytes by which a memory grows
const PANEL = 8; // columns that are multiplied at once
const FLOAT = 4; // bytes

export const NO_FLOOR = -Infinity;

let compiled = null; // once for all models

/** @returns {WebAssembly.Module} */
function compile() {
  if (compiled) return compiled;
  try {
    compiled = new WebAssembly.Module(Uint8Array.from(atob(CODE), (byte) => byte.charCodeAt(0)));
  } catch (error) {
    throw new ModelError(
      'WebAssembly: expected a browser of 2023 or later, with its SIMD instructions, got ' +
        `"${error.message}"; update the browser`,
    );
  }
  return compiled;
}

/**
 * A layer's weights, as `product` reads them.
 * @typedef {object} Layer
 * @property {number} weights address of (inner, columns), in panels of eight columns
 * @property {number} bias address of (columns,)
 * @property {number} inner
 * @property {number} columns a multiple of eight; zeros fill it up
 */

/** A memory, and what computes in it. */
export class Arithmetic {
  #code;
  #end = 16; // no address is 0

  constructor() {
    this.#code = new WebAssembly.Instance(compile()).exports;
  }

  /**
   * Room for so many numbers, zeros.
   * @param {number} count
   * @returns {number} its address
   */
  allocate(count) {
    const address = this.#end;
    this.#end += Math.ceil((count * FLOAT) / 16) * 16;
    const missing = this.#end - this.#code.memory.buffer.byteLength;
    if (missing > 0) this.#code.memory.grow(Math.ceil(missing / PAGE));
    return address;
  }

  /**
   * Numbers of the memory. Not to be kept: `allocate` may move the memory.
   * @param {number} address
   * @param {number} count
   * @returns {Float32Array}
   */
  view(address, count) {
    return new Float32Array(this.#code.memory.buffer, address, count);
  }

  /**
   * Takes a layer's weights in.
   * @param {ArrayLike<number>} kernel (inner, columns)
   * @param {ArrayLike<number>} bias (columns,)
   * @returns {Layer}
   */
  layer(kernel, bias) {
    const given = bias.length;
    const inner = kernel.length / given;
    const columns = Math.ceil(given / PANEL) * PANEL;
    const layer = {
      weights: this.allocate(inner * columns),
      bias: this.allocate(columns),
      inner,
      columns,
    };
    this.view(layer.bias, given).set(bias);
    const weights = this.view(layer.weights, inner * columns);
    for (let row = 0; row < inner; row++) {
      for (let column = 0; column < given; column++) {
        const panel = Math.floor(column / PANEL);
        weights[(panel * inner + row) * PANEL + (column % PANEL)] = kernel[row * given + column];
      }
    }
    return layer;
  }

  /**
   * max(a weights + bias, floor).
   * @param {number} a address of (rows, inner)
   * @param {Layer} layer
   * @param {number} c address of the result, (rows, columns)
   * @param {number} rows
   * @param {number} floor 0 for a relu
   */
  product(a, layer, c, rows, floor) {
    const { weights, bias, inner, columns } = layer;
    this.#code.product(a, weights, bias, c, rows, inner, columns, floor);
  }

  /**
   * What a kernel lies on at every place of a picture, each place a row.
   * @param {number} picture address of (rows, `grid.across`, `grid.channels`)
   * @param {number} patches address of (height * width, kernel * kernel * channels)
   * @param {Grid} grid
   */
  gather(picture, patches, grid) {
    this.#code.gather(picture, patches, ...steps(grid));
  }

  /** Adds patches to a picture, each at its place; shapes as in `gather`. */
  scatter(picture, patches, grid) {
    this.#code.scatter(picture, patches, ...steps(grid));
  }
}

/**
 * The places of a kernel on a picture.
 * @typedef {object} Grid
 * @property {number} height @property {number} width how many places there are
 * @property {number} kernel rows and columns of it
 * @property {number} stride pixels from one place to the next
 * @property {number} across columns of the picture
 * @property {number} channels of the picture; times `kernel` a multiple of four
 */

/** A grid as gemm.wat knows it, distances in bytes. */
function steps({ height, width, kernel, stride, across, channels }) {
  const pixel = channels * FLOAT;
  const row = across * pixel;
  return [height, width, kernel, kernel * pixel, row, stride * row, stride * pixel];
}
