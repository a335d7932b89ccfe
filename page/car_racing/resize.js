/**
 * A picture's rows above the indicators, resized as OpenCV's INTER_LINEAR does it, to the bit,
 * after `worldmodels/car_racing/resize.py`.
 *
 * OpenCV weighs the two pixels nearest to a place in 2048ths, along rows first, then down columns,
 * in integers. Read `resize`.
 */

import { COLUMNS, ROWS } from './picture.js';

const F = Math.fround;
const ONE = 2048; // OpenCV's INTER_RESIZE_COEF_SCALE

/**
 * The two pixels that each one is made of, and their weights.
 * @param {number} source how many pixels there are
 * @param {number} target how many there will be
 * @returns {{first: number, second: number, weights: [number, number]}[]}
 */
export function taps(source, target) {
  return Array.from({ length: target }, (_, index) => {
    const place = F((index + 0.5) * (source / target) - 0.5);
    const below = Math.floor(place);
    const share = place - below;
    const [first, second] = [below, below + 1].map((at) => Math.min(Math.max(at, 0), source - 1));
    return { first, second, weights: [Math.round((1 - share) * ONE), Math.round(share * ONE)] };
  });
}

const known = new Map(); // taps by source and target

function tapsOf(source, target) {
  const key = `${source} ${target}`;
  if (!known.has(key)) known.set(key, taps(source, target));
  return known.get(key);
}

/**
 * @param {Uint8Array} pixels (84 x 96 x 3), red, green and blue
 * @param {number} height from 1 to 96
 * @param {number} width from 1 to 96
 * @returns {Uint8Array} (height x width x 3)
 */
export function resize(pixels, height, width) {
  return shorten(widen(pixels, tapsOf(COLUMNS, width)), tapsOf(ROWS, height), 3 * width);
}

/** All 84 rows, each as wide as it will be, in 128ths. */
function widen(pixels, columns) {
  const wide = new Int32Array(ROWS * columns.length * 3);
  let at = 0;
  for (let row = 0; row < ROWS; row++) {
    for (const { first, second, weights } of columns) {
      const left = 3 * (row * COLUMNS + first);
      const right = 3 * (row * COLUMNS + second);
      for (let channel = 0; channel < 3; channel++) {
        const sum = pixels[left + channel] * weights[0] + pixels[right + channel] * weights[1];
        wide[at++] = sum >> 4;
      }
    }
  }
  return wide;
}

/** The rows that there will be, of so many values. */
function shorten(wide, rows, length) {
  const out = new Uint8Array(rows.length * length);
  let into = 0;
  for (const { first, second, weights } of rows) {
    for (let at = 0; at < length; at++) {
      const upper = (weights[0] * wide[first * length + at]) >> 16;
      const lower = (weights[1] * wide[second * length + at]) >> 16;
      out[into++] = (upper + lower + 2) >> 2;
    }
  }
  return out;
}
