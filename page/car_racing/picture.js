/**
 * The picture of a race, above the indicators: what gym draws in 1000 x 800 pixels and shrinks to
 * 96 x 84, drawn in these at once, each with the exact share of it that every polygon covers, after
 * `worldmodels/car_racing/picture.py`.
 *
 * A polygon's edges are added one by one: in the column of pixels below a piece of an edge, all
 * lies inside. So an edge leaves its share in the pixels that it crosses and the rest in those
 * below them, and sums down the columns give what is covered. Read `drawPicture`.
 */

import { PLAYFIELD } from './track.js';

const F = Math.fround;
export const ROWS = 84;
export const COLUMNS = 96;
// Pixels of the state in one of gym's; gym's car stands in the middle, three quarters down.
const ACROSS = F(96 / 1000);
const DOWN = F(96 / 800);
const CAR_COLUMN = 48;
const CAR_ROW = 72;
export const FULL_ZOOM = 2.7 * 6.0; // gym's pixels in a world unit, from the second second on
const FIRST_ZOOM = 0.1 * 6.0;
const SQUARES = 20; // of the lawn from the middle to the border, light where both numbers are even
const SQUARE = F(PLAYFIELD / SQUARES); // a side of one
const BORDER = F(PLAYFIELD);

// What is summed: shares of the field and of its light squares; of the road, and its colours.
const FIELD = 0;
const LIGHT = 1;
const ROAD = 2;
const LAYERS = 6;

/** gym's colours, red, green and blue. */
export const COLOURS = {
  lawn: [102, 204, 102],
  light: [102, 230, 102],
  road: [102, 102, 102],
  kerbs: [
    [255, 255, 255],
    [255, 0, 0],
  ],
};

/** What pygame's smoothscale leaves of a colour: it truncates once along x, once along y. */
const shrunk = (colour) => Math.max(Math.trunc(colour) - 2, 0);

/** How much lighter a tile is than the road, until it is touched: three shades in turn. */
export const shadeOf = (tile) => F(0.01 * (tile % 3) * 255);

/** gym's pixels in a world unit; it moves in during the first second. */
export function zoomAt(seconds) {
  return FIRST_ZOOM * Math.max(1 - seconds, 0) + FULL_ZOOM * Math.min(seconds, 1);
}

const sums = new Float32Array((ROWS + 1) * LAYERS * COLUMNS); // of zeros, between two pictures
const ONCE = [1];

/** What a tile adds to the road's layers: its share, 1, and its colour. */
const WEIGHTS = [0, 1, 2].map((tile) => weigh(COLOURS.road.map((light) => light + shadeOf(tile))));
const KERB_WEIGHTS = COLOURS.kerbs.map(weigh);

function weigh(colour) {
  return Float32Array.of(1, ...colour.map(shrunk));
}

/**
 * Draw field and road as the camera above the car sees them.
 * @param {import('./race.js').Race} race
 * @param {Uint8Array} pixels (84 x 96 x 3) to draw into
 */
export function drawPicture(race, pixels) {
  const view = makeView(race.car, zoomAt(race.time));
  const inside = drawField(view);
  drawRoad(view, race);
  paint(inside, pixels);
}

/** Where the hull is, and what a step along x and along y in the world is in pixels. */
function makeView(car, zoom) {
  const across = F(F(zoom) * ACROSS);
  const down = F(F(zoom) * DOWN);
  const [sine, cosine] = [car.sine[0], car.cosine[0]];
  return {
    hullX: car.position[0],
    hullY: car.position[1],
    rightX: F(across * cosine),
    downX: F(down * sine),
    rightY: F(across * sine),
    downY: F(-down * cosine),
  };
}

/** The column of a place in the world. */
function columnOf(view, x, y) {
  const [along, beside] = [F(x - view.hullX), F(y - view.hullY)];
  return F(F(CAR_COLUMN + F(view.rightX * along)) + F(view.rightY * beside));
}

/** The row of a place in the world. */
function rowOf(view, x, y) {
  const [along, beside] = [F(x - view.hullX), F(y - view.hullY)];
  return F(F(CAR_ROW + F(view.downX * along)) + F(view.downY * beside));
}

/** Add the light squares in view, and the field's border if it is; whether all is inside. */
function drawField(view) {
  const [lowX, lowY, highX, highY] = boundsInWorld(view);
  const pair = F(2 * SQUARE);
  const half = SQUARES / 2;
  const from = (low) => Math.max(-half, Math.floor(F(low / pair)));
  const to = (high) => Math.min(half - 1, Math.floor(F(high / pair)));
  for (let squareX = from(lowX); squareX <= to(highX); squareX++) {
    for (let squareY = from(lowY); squareY <= to(highY); squareY++) {
      const [x, y] = [F(squareX * pair), F(squareY * pair)];
      drawSquare(view, x, y, F(x + SQUARE), F(y + SQUARE), LIGHT);
    }
  }
  const inside = [lowX, lowY, highX, highY].every((at) => Math.abs(at) < BORDER);
  if (!inside) drawSquare(view, -BORDER, -BORDER, BORDER, BORDER, FIELD);
  return inside;
}

/** Lowest x and y, highest x and y of the picture's corners in the world: by the view's inverse. */
function boundsInWorld({ hullX, hullY, rightX, downX, rightY, downY }) {
  const over = F(1 / F(F(rightX * downY) - F(rightY * downX)));
  const xs = [];
  const ys = [];
  for (const column of [-CAR_COLUMN, COLUMNS - CAR_COLUMN]) {
    for (const row of [-CAR_ROW, ROWS - CAR_ROW]) {
      xs.push(F(hullX + F(F(F(column * downY) - F(row * rightY)) * over)));
      ys.push(F(hullY + F(F(F(row * rightX) - F(column * downX)) * over)));
    }
  }
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

function drawSquare(view, lowX, lowY, highX, highY, layer) {
  const xs = [lowX, highX, highX, lowX];
  const ys = [lowY, lowY, highY, highY];
  const columns = xs.map((x, corner) => columnOf(view, x, ys[corner]));
  const rows = xs.map((x, corner) => rowOf(view, x, ys[corner]));
  if (Math.max(...columns) <= 0 || Math.min(...columns) >= COLUMNS) return;
  if (Math.max(...rows) <= 0 || Math.min(...rows) >= ROWS) return;
  // Against the clock in the world, so with it here.
  for (let corner = 0; corner < 4; corner++) {
    const next = (corner + 1) % 4;
    addEdge(columns[next], rows[next], columns[corner], rows[corner], layer, ONCE);
  }
}

const difference = new Float32Array(4);

/**
 * Add the tiles in view, and their kerbs. A tile begins where the one before ends: that edge is
 * added once, for both, by the difference of their colours.
 */
function drawRoad(view, race) {
  const { track, touched } = race;
  const step = Math.max(...[view.rightX, view.rightY, view.downX, view.downY].map(Math.abs));
  const margin = F(step * 18);
  let before = null; // what the tile before adds; null where there is none in view
  for (let tile = 0; tile < track.tiles; tile++) {
    const [x, y] = [track.corners[8 * tile], track.corners[8 * tile + 1]];
    if (!isNear(columnOf(view, x, y), rowOf(view, x, y), margin)) {
      if (before) endRoad(view, track, tile - 1, before);
      before = null;
      continue;
    }
    const weights = WEIGHTS[touched[tile] ? 0 : tile % 3];
    drawTile(view, track, tile, weights, before);
    before = weights;
    if (track.kerb[tile]) drawKerb(view, track, tile);
  }
  if (before) endRoad(view, track, track.tiles - 1, before);
}

function isNear(column, row, margin) {
  return (
    column >= -margin &&
    column <= F(COLUMNS + margin) &&
    row >= -margin &&
    row <= F(ROWS + margin)
  );
}

/** Add the edge with which a tile begins, its left one and its right one. */
function drawTile(view, track, tile, weights, before) {
  for (let layer = 0; layer < 4; layer++) {
    difference[layer] = weights[layer] - (before ? before[layer] : 0);
  }
  addWorldEdge(view, track.corners, tile, 2, 3, difference);
  addWorldEdge(view, track.corners, tile, 3, 0, weights);
  addWorldEdge(view, track.corners, tile, 1, 2, weights);
}

/** Close the last tile of a piece of road that is in view. */
function endRoad(view, track, tile, weights) {
  addWorldEdge(view, track.corners, tile, 0, 1, weights);
}

function drawKerb(view, track, tile) {
  const corners = track.kerbCorners;
  const at = (corner) => [corners[8 * tile + 2 * corner], corners[8 * tile + 2 * corner + 1]];
  const places = [0, 1, 2, 3].map(at).map(([x, y]) => [columnOf(view, x, y), rowOf(view, x, y)]);
  const [[x0, y0], [x1, y1], [x2, y2], [x3, y3]] = places;
  const area = F(F(F(x2 - x0) * F(y3 - y1)) - F(F(x3 - x1) * F(y2 - y0)));
  const weights = KERB_WEIGHTS[tile % 2];
  for (let corner = 0; corner < 4; corner++) {
    const next = (corner + 1) % 4;
    const [from, to] = area > 0 ? [corner, next] : [next, corner];
    addEdge(...places[from], ...places[to], ROAD, weights);
  }
}

/** Add an edge of a tile or a kerb, from one of its corners to another. */
function addWorldEdge(view, corners, tile, from, to, weights) {
  const [one, other] = [8 * tile + 2 * from, 8 * tile + 2 * to];
  const [x0, y0] = [corners[one], corners[one + 1]];
  const [x1, y1] = [corners[other], corners[other + 1]];
  addEdge(
    columnOf(view, x0, y0),
    rowOf(view, x0, y0),
    columnOf(view, x1, y1),
    rowOf(view, x1, y1),
    ROAD,
    weights,
  );
}

/**
 * Add what lies below an edge that goes to the right, and take away what lies below one that goes
 * to the left.
 * @param {number} x0 in pixels, as all of its ends
 * @param {number} y0 downwards
 * @param {number} x1
 * @param {number} y1
 * @param {number} layer the first one
 * @param {ArrayLike<number>} weights what each layer from it on gets
 */
function addEdge(x0, y0, x1, y1, layer, weights) {
  if (x0 < x1) addBelow(x0, y0, x1, y1, 1, layer, weights);
  else if (x0 > x1) addBelow(x1, y1, x0, y0, -1, layer, weights);
}

/** Add `sign` times what lies below an edge from left to right. */
function addBelow(x0, y0, x1, y1, sign, layer, weights) {
  if (x1 <= 0 || x0 >= COLUMNS || (y0 >= ROWS && y1 >= ROWS)) return;
  const slope = F(F(y1 - y0) / F(x1 - x0));
  const left = Math.max(x0, 0);
  const right = Math.min(x1, COLUMNS);
  let y = x0 < 0 ? F(y0 - F(x0 * slope)) : y0;
  const after = Math.ceil(right);
  for (let column = Math.trunc(left); column < after; column++) {
    const width = F(Math.min(right, column + 1) - Math.max(left, column));
    const following = F(y + F(slope * width));
    const low = Math.max(Math.min(y, following), 0);
    const high = Math.min(Math.max(y, following, 0), ROWS);
    y = following;
    if (low < ROWS) addToColumn(column, low, high, sign * width, layer, weights);
  }
}

/**
 * Add the share of a column below a piece of an edge, which goes from row `low` to row `high`: to
 * each row what it has more than the row above it.
 */
function addToColumn(column, low, high, share, layer, weights) {
  let row = Math.trunc(low);
  if (high <= row + 1) {
    const below = F(share * F(F(0.5 * F(low + high)) - row));
    addToPixel(row, column, F(share - below), layer, weights);
    addToPixel(row + 1, column, below, layer, weights);
    return;
  }
  const steepness = F(share / F(high - low));
  let above = 0;
  let top = low;
  for (; ; row++) {
    const bottom = row + 1;
    const end = Math.min(high, bottom);
    const mean = F(0.5 * F(top + end));
    const below = F(F(F(end - top) * F(bottom - mean)) + F(top - low));
    const covered = F(steepness * below);
    addToPixel(row, column, F(covered - above), layer, weights);
    if (high <= bottom) {
      addToPixel(row + 1, column, F(share - covered), layer, weights);
      return;
    }
    above = covered;
    top = bottom;
  }
}

function addToPixel(row, column, share, layer, weights) {
  let at = (row * LAYERS + layer) * COLUMNS + column;
  for (let index = 0; index < weights.length; index++) {
    sums[at] += F(share * weights[index]);
    at += COLUMNS;
  }
}

const totals = new Float32Array(LAYERS * COLUMNS);

/** Sum down the columns, and turn shares into colours. Where tiles overlap they share. */
function paint(inside, pixels) {
  totals.fill(0);
  if (inside) totals.fill(1, FIELD * COLUMNS, (FIELD + 1) * COLUMNS);
  for (let row = 0; row < ROWS; row++) {
    const start = row * totals.length;
    for (let at = 0; at < totals.length; at++) totals[at] += sums[start + at];
    for (let channel = 0; channel < 3; channel++) paintRow(row, channel, pixels);
  }
  sums.fill(0);
}

function paintRow(row, channel, pixels) {
  const lawn = shrunk(COLOURS.lawn[channel]);
  const lighter = shrunk(COLOURS.light[channel]) - lawn;
  for (let column = 0; column < COLUMNS; column++) {
    const road = totals[ROAD * COLUMNS + column];
    const field = totals[FIELD * COLUMNS + column];
    const light = totals[LIGHT * COLUMNS + column];
    const ground = F(F(lawn * field) + F(lighter * light));
    const covered = F(totals[(ROAD + 1 + channel) * COLUMNS + column] / Math.max(road, 1));
    const mixed = F(F(ground * Math.max(F(1 - road), 0)) + covered);
    pixels[(row * COLUMNS + column) * 3 + channel] = Math.trunc(F(mixed + 0.5));
  }
}
