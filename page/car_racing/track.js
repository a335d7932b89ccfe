/**
 * gym's random track, from the same random numbers: `CarRacing._create_track`, after
 * `worldmodels/car_racing/track.py`.
 *
 * Read `Track`, what is known of a track, then `makeTrack`.
 */

import { convexHull } from './car_shape.js';
import { atan2, sineAndCosine } from './exact.js';
import { Generator } from './random.js';

const F = Math.fround;
const SCALE = 6.0;
const RADIUS = 900 / SCALE;
const DETAIL_STEP = 21 / SCALE;
const TURN_RATE = 0.31;
const WIDTH = 40 / SCALE;
const BORDER = 8 / SCALE;
const BORDER_MIN_COUNT = 4;
const CHECKPOINTS = 12;
const MAX_POINTS = 2500; // of the line that gym follows for five laps
export const PLAYFIELD = 2000 / SCALE; // half a side of the field, in world units

/**
 * @typedef {object} Track
 * @property {number} tiles how many there are
 * @property {Float64Array} line (tiles x 4) alpha, heading, x, y: gym's `track`
 * @property {Float32Array} corners (tiles x 4 x 2) as gym draws them
 * @property {Uint8Array} kerb (tiles) whether one lies beside the tile
 * @property {Float32Array} kerbCorners (tiles x 4 x 2)
 * @property {Float32Array} hull (tiles x 4 x 2) as Box2D has them
 * @property {Uint8Array} hullCorners (tiles)
 * @property {Float32Array} sides (tiles x 4 x 3) of the hull: normal outwards, offset
 * @property {Float32Array} bounds (tiles x 4) lowest x and y, highest x and y
 */

/**
 * The track of gym's `reset(seed=seed)`.
 * @param {number | bigint} seed an integer, 0 or more
 * @returns {Track}
 */
export function makeTrack(seed) {
  const generator = new Generator(seed);
  for (;;) {
    const line = makeLine(generator);
    if (line) return layTrack(line); // else gym tries again, too
  }
}

/** Alpha, heading, x and y of a lap's points; null where its head and tail do not meet. */
function makeLine(generator) {
  const points = follow(placeCheckpoints(generator));
  const lap = secondLap(points);
  if (!lap) return null;
  const [, heading, firstX, firstY] = lap[0];
  const [, , lastX, lastY] = lap.at(-1);
  const [sine, cosine] = sineAndCosine(heading);
  const gapX = cosine * (firstX - lastX);
  const gapY = sine * (firstY - lastY);
  return Math.sqrt(gapX * gapX + gapY * gapY) > DETAIL_STEP ? null : lap;
}

/** Angle, x and y of twelve points around the field. */
function placeCheckpoints(generator) {
  return Array.from({ length: CHECKPOINTS }, (_, index) => {
    const noise = generator.uniform(0, (2 * Math.PI * 1) / CHECKPOINTS);
    let alpha = (2 * Math.PI * index) / CHECKPOINTS + noise;
    let radius = generator.uniform(RADIUS / 3, RADIUS);
    if (index === 0) [alpha, radius] = [0, 1.5 * RADIUS];
    if (index === CHECKPOINTS - 1) {
      [alpha, radius] = [(2 * Math.PI * index) / CHECKPOINTS, 1.5 * RADIUS];
    }
    const [sine, cosine] = sineAndCosine(alpha);
    return [alpha, radius * cosine, radius * sine];
  });
}

/** Drive from one checkpoint to the next for five laps: alpha, heading, x and y of each step. */
function follow(checkpoints) {
  const points = [];
  let [x, y, beta] = [1.5 * RADIUS, 0, 0];
  let [target, laps] = [0, 0];
  let otherSide = false;
  while (laps <= 4 && points.length < MAX_POINTS) {
    let alpha = atan2(y, x);
    if (otherSide && alpha > 0) {
      laps += 1;
      otherSide = false;
    }
    if (alpha < 0) {
      otherSide = true;
      alpha += 2 * Math.PI;
    }
    while (alpha > checkpoints[target % CHECKPOINTS][0]) {
      target += 1;
      if (target % CHECKPOINTS === 0) alpha -= 2 * Math.PI;
    }
    const [alongY, alongX] = sineAndCosine(beta);
    const [, targetX, targetY] = checkpoints[target % CHECKPOINTS];
    const projection = SCALE * (alongX * (targetX - x) + alongY * (targetY - y));
    while (beta - alpha > 1.5 * Math.PI) beta -= 2 * Math.PI;
    while (beta - alpha < -1.5 * Math.PI) beta += 2 * Math.PI;
    const before = beta;
    const turn = Math.min(TURN_RATE, Math.abs(0.001 * projection));
    if (projection > 0.3) beta -= turn;
    if (projection < -0.3) beta += turn;
    x += -alongY * DETAIL_STEP;
    y += alongX * DETAIL_STEP;
    points.push([alpha, before * 0.5 + beta * 0.5, x, y]);
  }
  return points;
}

/** The points of the last whole lap; null if there is none. */
function secondLap(points) {
  const start = (2 * Math.PI * -0.5) / CHECKPOINTS;
  let end = -1;
  for (let index = points.length - 1; index > 0; index--) {
    if (points[index][0] > start && points[index - 1][0] <= start) {
      if (end >= 0) return points.slice(index, end - 1);
      end = index;
    }
  }
  return null;
}

/** All of a track that follows from its line. */
function layTrack(line) {
  const tiles = line.length;
  const track = {
    tiles,
    line: Float64Array.from(line.flat()),
    corners: new Float32Array(8 * tiles),
    kerb: markKerbs(line),
    kerbCorners: new Float32Array(8 * tiles),
    hull: new Float32Array(8 * tiles),
    hullCorners: new Uint8Array(tiles),
    sides: new Float32Array(12 * tiles),
    bounds: new Float32Array(4 * tiles),
  };
  // Sine and cosine of each point's heading, which two tiles share.
  const points = line.map(([, beta, x, y]) => [beta, x, y, ...sineAndCosine(beta)]);
  for (let tile = 0; tile < tiles; tile++) {
    const [point, before] = [points[tile], points.at(tile - 1)];
    layTile(track, tile, point, before);
    if (track.kerb[tile]) layKerb(track, tile, point, before);
    wrap(track, tile);
    bound(track, tile);
  }
  return track;
}

/** Kerbs lie beside tiles of which four in a row turn hard to one side. */
function markKerbs(line) {
  const hard = line.map((_, tile) => {
    let toOneSide = 0;
    for (let back = 0; back < BORDER_MIN_COUNT; back++) {
      const turn = line.at(tile - back)[1] - line.at(tile - back - 1)[1];
      if (Math.abs(turn) <= TURN_RATE * 0.2) return false;
      toOneSide += Math.sign(turn);
    }
    return Math.abs(toOneSide) === BORDER_MIN_COUNT;
  });
  // And beside the three tiles before each of them.
  const kerb = Uint8Array.from(hard);
  for (let tile = 0; tile < line.length; tile++) {
    for (let back = 0; back < BORDER_MIN_COUNT; back++) {
      const at = tile - back < 0 ? tile - back + line.length : tile - back;
      kerb[at] |= kerb[tile];
    }
  }
  return kerb;
}

/** Put x and y at a distance to the side of a point. */
function putBeside(corners, at, [, x, y, sine, cosine], distance) {
  corners[at] = x + distance * cosine;
  corners[at + 1] = y + distance * sine;
}

/** Corners of a tile, which goes from the point before to its own. */
function layTile(track, tile, point, before) {
  putBeside(track.corners, 8 * tile, point, -WIDTH);
  putBeside(track.corners, 8 * tile + 2, point, WIDTH);
  putBeside(track.corners, 8 * tile + 4, before, WIDTH);
  putBeside(track.corners, 8 * tile + 6, before, -WIDTH);
}

/** Corners of a tile's kerb, on the inner side of the bend. */
function layKerb(track, tile, point, before) {
  const side = Math.sign(before[0] - point[0]);
  const [inner, outer] = [side * WIDTH, side * (WIDTH + BORDER)];
  putBeside(track.kerbCorners, 8 * tile, point, inner);
  putBeside(track.kerbCorners, 8 * tile + 2, point, outer);
  putBeside(track.kerbCorners, 8 * tile + 4, before, outer);
  putBeside(track.kerbCorners, 8 * tile + 6, before, inner);
}

/** The tile's convex hull as Box2D makes it, and its sides. */
function wrap(track, tile) {
  const corners = track.corners.subarray(8 * tile, 8 * tile + 8);
  const hull = track.hull.subarray(8 * tile, 8 * tile + 8);
  const order = convexHull(corners);
  track.hullCorners[tile] = order.length;
  for (let index = 0; index < 4; index++) {
    const at = order[index] ?? order[0];
    hull.set(corners.subarray(2 * at, 2 * at + 2), 2 * index);
  }
  for (let index = 0; index < 4; index++) {
    const following = (index + 1) % 4;
    const x = F(hull[2 * following] - hull[2 * index]);
    const y = F(hull[2 * following + 1] - hull[2 * index + 1]);
    const length = F(Math.sqrt(F(F(x * x) + F(y * y))));
    if (length === 0) continue; // of a triangle, one side has none: every point is inside of it
    const [normalX, normalY] = [F(y / length), F(-x / length)];
    const offset = F(F(normalX * hull[2 * index]) + F(normalY * hull[2 * index + 1]));
    track.sides.set([normalX, normalY, offset], 12 * tile + 3 * index);
  }
}

function bound(track, tile) {
  const corners = track.corners.subarray(8 * tile, 8 * tile + 8);
  const xs = corners.filter((_, index) => index % 2 === 0);
  const ys = corners.filter((_, index) => index % 2 === 1);
  const bounds = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  track.bounds.set(bounds, 4 * tile);
}
