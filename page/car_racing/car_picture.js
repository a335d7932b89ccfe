/**
 * The car in the picture: drawn as pygame draws it in gym's 1000 x 800 pixels, then shrunk, after
 * `worldmodels/car_racing/car_picture.py`.
 *
 * The camera turns with the hull, so at a given zoom only a wheel's steering and rolling make a
 * difference, and a quarter of the car with one wheel is drawn once for each of these. Read
 * `putCar`.
 */

import { HULL, UNIT, WHEEL, WHEELS_AT } from './car_shape.js';
import { WHEELS } from './car_state.js';
import { COLUMNS, FULL_ZOOM, zoomAt } from './picture.js';

const F = Math.fround;
// Of the picture, what the car can touch.
const TOP = 66;
const LEFT = 44;
const QUARTER_ROWS = 6;
const QUARTER_COLUMNS = 4;
const ANGLE_STEPS = 24; // in a radian of steering: a tip of a wheel is at most 1/50 pixel off
const MAX_ANGLE = 12; // steps to either side; a wheel is steered by 0.4 radians and little more
const PHASE_STEPS = 32; // in a turn of a wheel
const STRIPE = 1.2; // radians of the tyre that are light
const STRIPE_LIGHT = 77; // gym's (77, 77, 77); a tyre is (0, 0, 0)
const HULL_RED = 204; // gym's (204, 0, 0)

// The part of gym's picture in which the car is drawn: pixels, and its first column and row.
const CANVAS_COLUMNS = 84;
const CANVAS_ROWS = 100;
const CANVAS_LEFT = 458;
const CANVAS_TOP = 150; // rows count upwards, as gym flips its picture
const NOTHING = 0;
const IS_TYRE = 1;
const IS_STRIPE = 2;
const IS_HULL = 3;

/** Corners in gym's measures, in Box2D's order: pygame's rounding depends on it. */
const measuresOf = (body) => body.polygons.map((corners) => pairs(corners));
const HULL_MEASURES = measuresOf(HULL);
const [WHEEL_MEASURES] = measuresOf(WHEEL);

function pairs(corners) {
  const measures = Array.from(corners, (at) => Math.round(at / UNIT));
  return Array.from({ length: measures.length / 2 }, (_, at) => measures.slice(2 * at, 2 * at + 2));
}

const kept = new Map(); // quarters at full zoom, as they come

/**
 * Draw the car into a picture.
 * @param {import('./race.js').Race} race
 * @param {Uint8Array} pixels (84 x 96 x 3)
 */
export function putCar(race, pixels) {
  const { phase } = race.car;
  const steps = roundToEven(race.steering * ANGLE_STEPS);
  const angle = Math.min(Math.max(steps, -MAX_ANGLE), MAX_ANGLE);
  for (let corner = 0; corner < WHEELS; corner++) {
    const turned = corner < 2 ? angle : 0;
    const rolled = roundToEven(phase[corner] * (PHASE_STEPS / (2 * Math.PI)));
    const step = ((rolled % PHASE_STEPS) + PHASE_STEPS) % PHASE_STEPS;
    put(quarterAt(race.time, corner, turned, step), corner, pixels);
  }
}

/** NumPy's `rint`. */
function roundToEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest === 0.5) return below % 2 === 0 ? below : below + 1;
  return rest < 0.5 ? below : below + 1;
}

function quarterAt(seconds, corner, angle, phase) {
  if (seconds < 1) return drawQuarter(corner, zoomAt(seconds), angle, phase);
  const key = (corner * (2 * MAX_ANGLE + 1) + angle + MAX_ANGLE) * PHASE_STEPS + phase;
  if (!kept.has(key)) kept.set(key, drawQuarter(corner, FULL_ZOOM, angle, phase));
  return kept.get(key);
}

/** Put a quarter into the picture: `below` of what is there, and its own `light`. */
function put({ below, light }, corner, pixels) {
  const top = TOP + (corner >> 1) * QUARTER_ROWS;
  const left = LEFT + (corner & 1) * QUARTER_COLUMNS;
  for (let row = 0; row < QUARTER_ROWS; row++) {
    for (let column = 0; column < QUARTER_COLUMNS; column++) {
      const pixel = row * QUARTER_COLUMNS + column;
      const at = ((top + row) * COLUMNS + left + column) * 3;
      for (let channel = 0; channel < 3; channel++) {
        const mixed = F(pixels[at + channel] * below[pixel]) + light[3 * pixel + channel];
        pixels[at + channel] = Math.trunc(F(mixed));
      }
    }
  }
}

/** Draw a wheel and the hull, and shrink what lies in the wheel's quarter. */
function drawQuarter(corner, zoom, angle, phase) {
  const canvas = new Uint8Array(CANVAS_ROWS * CANVAS_COLUMNS);
  const [wheelX, wheelY] = WHEELS_AT[corner];
  const cosine = Math.cos(angle / ANGLE_STEPS);
  const sine = Math.sin(angle / ANGLE_STEPS);
  const turned = ([x, y]) => [x * cosine - y * sine + wheelX, x * sine + y * cosine + wheelY];
  fill(canvas, WHEEL_MEASURES.map(turned), zoom, IS_TYRE);
  const ends = stripeEnds((phase * 2 * Math.PI) / PHASE_STEPS);
  if (ends) {
    const [first, second] = ends.map((end) => 27 * end);
    const stripe = [[-14, first], [14, first], [14, second], [-14, second]];
    fill(canvas, stripe.map(turned), zoom, IS_STRIPE);
  }
  for (const polygon of HULL_MEASURES) fill(canvas, polygon, zoom, IS_HULL);
  return shrink(canvas, corner);
}

/**
 * Where the light stripe of a tyre begins and ends, which rolls into sight and out again, of half
 * the wheel's length; null while it is below the wheel.
 * @param {number} phase radians that the wheel has rolled
 * @returns {[number, number] | null} from -1 to 1
 */
export function stripeEnds(phase) {
  const angles = [phase, phase + STRIPE];
  if (angles.every((angle) => Math.sin(angle) > 0)) return null;
  return angles.map((angle) => {
    const end = Math.cos(angle);
    return Math.sin(angle) > 0 ? Math.sign(end) : end;
  });
}

/**
 * pygame's draw_fillpoly: corners and crossings are cut to whole pixels, and lines filled from one
 * crossing to the next, both ends included.
 */
function fill(canvas, corners, zoom, kind) {
  const points = corners.map(([x, y]) => [
    Math.trunc(x * (UNIT * zoom) + (500 - CANVAS_LEFT)),
    Math.trunc(y * (UNIT * zoom) + (200 - CANVAS_TOP)),
  ]);
  const sides = points.map((point, index) => [points.at(index - 1), point]);
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  if (low === high) {
    fillLine(canvas, low, Math.min(...xs), Math.max(...xs), kind);
    return;
  }
  for (let y = low; y <= high; y++) {
    const crossings = crossingsOf(sides, y, high);
    for (let pair = 0; pair + 1 < crossings.length; pair += 2) {
      fillLine(canvas, y, crossings[pair], crossings[pair + 1], kind);
    }
  }
  for (const [[x1, y1], [x2, y2]] of sides) {
    if (y1 === y2 && low < y1 && y1 < high) {
      fillLine(canvas, y1, Math.min(x1, x2), Math.max(x1, x2), kind);
    }
  }
}

/** Where a row crosses a polygon's sides, from left to right. */
function crossingsOf(sides, y, high) {
  const crossings = [];
  for (const [one, other] of sides) {
    if (one[1] === other[1]) continue;
    const [[x1, y1], [x2, y2]] = one[1] < other[1] ? [one, other] : [other, one];
    if ((y1 <= y && y < y2) || (y === high && y2 === high)) {
      crossings.push(Math.trunc(((y - y1) * (x2 - x1)) / (y2 - y1) + x1));
    }
  }
  return crossings.sort((one, other) => one - other);
}

function fillLine(canvas, y, first, last, kind) {
  if (y < 0 || y >= CANVAS_ROWS) return;
  const [from, to] = [Math.max(first, 0), Math.min(last, CANVAS_COLUMNS - 1)];
  if (from <= to) canvas.fill(kind, y * CANVAS_COLUMNS + from, y * CANVAS_COLUMNS + to + 1);
}

/**
 * To pixels of the state: by what to multiply what is there, and what to add to it.
 * @returns {{below: Float32Array, light: Float32Array}} (6 x 4) and (6 x 4 x 3)
 */
function shrink(canvas, corner) {
  const pixels = QUARTER_ROWS * QUARTER_COLUMNS;
  const below = new Float32Array(pixels);
  const light = new Float32Array(3 * pixels);
  const [across, down] = [1000 / 96, 800 / 96];
  for (let pixel = 0; pixel < pixels; pixel++) {
    const row = TOP + (corner >> 1) * QUARTER_ROWS + Math.trunc(pixel / QUARTER_COLUMNS);
    const column = LEFT + (corner & 1) * QUARTER_COLUMNS + (pixel % QUARTER_COLUMNS);
    const shares = sharesOf(canvas, row * down, column * across, down, across);
    const covered = shares[IS_TYRE] + shares[IS_STRIPE] + shares[IS_HULL];
    below[pixel] = 1 - covered;
    const grey = shares[IS_STRIPE] * STRIPE_LIGHT;
    const red = shares[IS_HULL] * HULL_RED;
    // Less 2 for smoothscale's truncation, and half more, as the sum will be truncated.
    const lights = [grey + red, grey, grey].map((sum) => Math.max(sum - 2 * covered, 0) + 0.5);
    light.set(lights, 3 * pixel);
  }
  return { below, light };
}

/** What shares of a rectangle of gym's pixels, rows from the top, are of each kind. */
function sharesOf(canvas, top, left, down, across) {
  const shares = [0, 0, 0, 0];
  for (let y = Math.trunc(top); y < Math.ceil(top + down); y++) {
    const atY = 799 - y - CANVAS_TOP;
    if (atY < 0 || atY >= CANVAS_ROWS) continue;
    const height = Math.min(top + down, y + 1) - Math.max(top, y);
    for (let x = Math.trunc(left); x < Math.ceil(left + across); x++) {
      const atX = x - CANVAS_LEFT;
      if (atX < 0 || atX >= CANVAS_COLUMNS) continue;
      const width = Math.min(left + across, x + 1) - Math.max(left, x);
      shares[canvas[atY * CANVAS_COLUMNS + atX]] += (height * width) / (across * down);
    }
  }
  shares[NOTHING] = 0;
  return shares;
}
