/**
 * A race as a person wants to see it: gym's picture above the indicators, in any size, without the
 * skid marks that gym leaves behind the wheels and without its first second, in which it comes
 * nearer; after `draw_scene` in `worldmodels/car_racing/window.py`. Read `drawRace`.
 */

import { HULL, WHEEL } from './car_shape.js';
import { stripeEnds } from './car_picture.js';
import { COLOURS, shadeOf, zoomAt } from './picture.js';
import { PLAYFIELD } from './track.js';

// gym's picture without the indicators, and the row in which the car stands.
const WIDTH = 1000;
const HEIGHT = 700;
const CAR_ROW = 600;
const SQUARES = 20; // of the lawn, from the middle to the border
const SQUARE = PLAYFIELD / SQUARES;
const NEAR = 1; // second, from which on gym stays as near as that
const LONGEST = 16; // world units from a tile's corner to the furthest point of it or of its kerb

const OUTSIDE = 'rgb(0, 0, 0)';
const TYRE = 'rgb(0, 0, 0)';
const STRIPE = 'rgb(77, 77, 77)';
export const HULL_COLOUR = 'rgb(204, 0, 0)';
export const RIVAL_COLOUR = 'rgb(32, 80, 204)';
const RIVAL_ALPHA = 0.5;

const css = (colour) => `rgb(${colour.map(Math.trunc).join(', ')})`;
const SHADES = [0, 1, 2].map((tile) => css(COLOURS.road.map((light) => light + shadeOf(tile))));

/**
 * Draw a race into all of a canvas. It shows at least as much as gym's picture does: more to the
 * sides of a wide canvas, more ahead in a tall one.
 * @param {CanvasRenderingContext2D} context whose canvas may have any size; its pixels are meant,
 *   so make them as many as the screen has
 * @param {import('./race.js').Race} race above whose car the camera is
 * @param {object} [options]
 * @param {import('./race.js').Race | null} [options.rival] on the same track, drawn as a ghost
 */
export function drawRace(context, race, { rival = null } = {}) {
  const camera = makeCamera(race, context.canvas);
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = OUTSIDE;
  context.fillRect(0, 0, context.canvas.width, context.canvas.height);
  context.setTransform(...camera.transform);
  drawLawn(context, camera);
  drawRoad(context, camera, race);
  drawKerbs(context, camera, race.track);
  if (rival) {
    context.globalAlpha = RIVAL_ALPHA;
    drawCar(context, rival, RIVAL_COLOUR);
    context.globalAlpha = 1;
  }
  drawCar(context, race, HULL_COLOUR);
  context.restore();
}

/** The canvas's transform from the world, what it can show of that, and the width of a pixel. */
function makeCamera(race, { width, height }) {
  const { x, y, angle } = race.hull;
  const scale = zoomAt(NEAR) * Math.min(width / WIDTH, height / HEIGHT);
  const [sine, cosine] = [scale * Math.sin(angle), scale * Math.cos(angle)];
  const row = (height * CAR_ROW) / HEIGHT;
  return {
    transform: [
      cosine,
      sine,
      sine,
      -cosine,
      width / 2 - cosine * x - sine * y,
      row - sine * x + cosine * y,
    ],
    x,
    y,
    reach: Math.hypot(width / 2, row) / scale,
    pixel: 1 / scale,
  };
}

function drawLawn(context, { x, y, reach }) {
  context.fillStyle = css(COLOURS.lawn);
  context.fillRect(-PLAYFIELD, -PLAYFIELD, 2 * PLAYFIELD, 2 * PLAYFIELD);
  // Every second square both ways is light.
  const from = (at) => 2 * Math.max(Math.floor((at - reach) / SQUARE / 2), -SQUARES / 2);
  const to = (at) => Math.min(Math.ceil((at + reach) / SQUARE), SQUARES);
  context.fillStyle = css(COLOURS.light);
  context.beginPath();
  for (let column = from(x); column < to(x); column += 2) {
    for (let row = from(y); row < to(y); row += 2) {
      context.rect(column * SQUARE, row * SQUARE, SQUARE, SQUARE);
    }
  }
  context.fill();
}

/** The tiles that may be in view. */
function tilesInView(track, { x, y, reach }) {
  const all = Array.from({ length: track.tiles }, (_, tile) => tile);
  return all.filter((tile) => {
    const [offX, offY] = [track.corners[8 * tile] - x, track.corners[8 * tile + 1] - y];
    return Math.hypot(offX, offY) <= reach + LONGEST;
  });
}

function drawRoad(context, camera, race) {
  const { track, touched } = race;
  const tiles = tilesInView(track, camera);
  context.lineWidth = camera.pixel;
  SHADES.forEach((colour, shade) => {
    context.beginPath();
    for (const tile of tiles) {
      if ((touched[tile] ? 0 : tile % 3) === shade) {
        addPolygon(context, track.corners.subarray(8 * tile, 8 * tile + 8));
      }
    }
    context.fillStyle = colour;
    context.fill();
    // Where two tiles meet, both cover their part of a pixel, and the lawn would shine through.
    context.strokeStyle = colour;
    context.stroke();
  });
}

function drawKerbs(context, camera, track) {
  const tiles = tilesInView(track, camera).filter((tile) => track.kerb[tile]);
  COLOURS.kerbs.forEach((colour, odd) => {
    context.beginPath();
    for (const tile of tiles) {
      if (tile % 2 === odd) {
        addPolygon(context, track.kerbCorners.subarray(8 * tile, 8 * tile + 8));
      }
    }
    context.fillStyle = css(colour);
    context.fill();
  });
}

function drawCar(context, race, colour) {
  const [tyre] = WHEEL.polygons;
  const halfWidth = Math.max(...tyre.filter((_, index) => index % 2 === 0));
  const halfLength = Math.max(...tyre.filter((_, index) => index % 2 === 1));
  for (const wheel of race.wheels) {
    fillBody(context, wheel, [tyre], TYRE);
    const ends = stripeEnds(wheel.phase);
    if (!ends) continue;
    const [low, high] = ends.map((end) => end * halfLength);
    const stripe = [-halfWidth, low, halfWidth, low, halfWidth, high, -halfWidth, high];
    fillBody(context, wheel, [stripe], STRIPE);
  }
  fillBody(context, race.hull, HULL.polygons, colour);
}

/** Fill polygons around a body's origin, as one: a ghost's do not show where they overlap. */
function fillBody(context, { x, y, angle }, polygons, colour) {
  context.save();
  context.translate(x, y);
  context.rotate(angle);
  context.beginPath();
  for (const polygon of polygons) addPolygon(context, polygon);
  context.fillStyle = colour;
  context.fill();
  context.restore();
}

/** Add a polygon, x and y of its corners in turn, to the path. */
function addPolygon(context, corners) {
  context.moveTo(corners[0], corners[1]);
  for (let at = 2; at < corners.length; at += 2) context.lineTo(corners[at], corners[at + 1]);
  context.closePath();
}
