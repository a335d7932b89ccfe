/**
 * What the agent sees: gym's frame without its indicators, resized to what V is given, after
 * `Races.resized` in `worldmodels/car_racing/world.py`. Read `agentFrame`.
 */

import { putCar } from './car_picture.js';
import { COLUMNS, ROWS, drawPicture } from './picture.js';
import { resize } from './resize.js';

const pixels = new Uint8Array(ROWS * COLUMNS * 3);

/**
 * @param {import('./race.js').Race} race
 * @param {number} height of the result, from 1 to 96
 * @param {number} width of the result, from 1 to 96
 * @returns {Uint8Array} (height x width x 3) red, green and blue of each pixel, row by row
 */
export function agentFrame(race, height, width) {
  drawPicture(race, pixels);
  putCar(race, pixels);
  return resize(pixels, height, width);
}
