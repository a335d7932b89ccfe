/**
 * The models as `worldmodels/page/weights.py` exports them: a manifest and a blob of tensors. Read
 * `Weights`.
 */

import { ModelError } from './errors.js';

const FORMAT = 1;
const BYTES = { float16: 2, float32: 4 };

/** The tensors of all models, and their settings. */
export class Weights {
  #tensors = new Map();

  /**
   * @param {object} manifest as JSON says it
   * @param {ArrayBuffer} blob little-endian
   */
  constructor(manifest, blob) {
    if (manifest?.format !== FORMAT) {
      throw new ModelError(
        `manifest: expected format ${FORMAT}, got ${manifest?.format}; export the models anew`,
      );
    }
    if (blob.byteLength !== manifest.bytes) {
      throw new ModelError(
        `weights: expected ${manifest.bytes} bytes, got ${blob.byteLength}; load them again`,
      );
    }
    this.settings = manifest.settings;
    for (const { name, shape, dtype, offset } of manifest.tensors) {
      const size = shape.reduce((product, side) => product * side, 1);
      if (!(offset >= 0 && offset + size * BYTES[dtype] <= blob.byteLength)) {
        throw new ModelError(
          `weights: ${name}: expected ${Object.keys(BYTES).join(' or ')} within the file, got ` +
            `${size} of ${dtype} at ${offset}; export the models anew`,
        );
      }
      const values =
        dtype === 'float16'
          ? fromHalves(new Uint16Array(blob, offset, size))
          : new Float32Array(blob, offset, size);
      this.#tensors.set(name, { shape, values });
    }
  }

  /**
   * A tensor's numbers.
   * @param {string} name
   * @param {(number | null)[]} shape that it must have; null for any side
   * @returns {Float32Array}
   */
  tensor(name, shape) {
    const found = this.#tensors.get(name);
    const fits =
      found?.shape.length === shape.length &&
      shape.every((side, axis) => side === null || side === found.shape[axis]);
    if (fits) return found.values;
    const got = found ? `(${found.shape.join(', ')})` : 'none';
    const expected = shape.map((side) => side ?? 'any').join(', ');
    throw new ModelError(
      `weights: ${name}: expected shape (${expected}), got ${got}; export the models anew`,
    );
  }
}

/**
 * float16 to float32. Not every browser has Float16Array.
 * @param {Uint16Array} halves
 * @returns {Float32Array}
 */
function fromHalves(halves) {
  const floats = new Float32Array(halves.length);
  const bits = new Uint32Array(floats.buffer);
  for (let index = 0; index < halves.length; index++) {
    const half = halves[index];
    // Exponent and fraction move to where float32 has them. Its exponents count from 112 lower;
    // the factor makes up for that, in subnormal numbers as well.
    bits[index] = ((half & 0x8000) << 16) | ((half & 0x7fff) << 13);
    floats[index] *= 2 ** 112;
  }
  return floats;
}
