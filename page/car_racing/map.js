/** A map of the track in the corner of a picture of the race. Read `drawMap`. */

import { PLAYFIELD } from './track.js';

const SHARE = 0.2; // of the picture's width
const MARGIN = 0.015;
const GROUND = 'rgba(16, 20, 16, 0.55)';
const ROAD = 'rgb(235, 235, 235)';

/**
 * Draw the whole track, north up, and dots on it, into the upper left corner of a canvas.
 * @param {CanvasRenderingContext2D} context
 * @param {import('./race.js').Race} race whose track it is
 * @param {{x: number, y: number, colour: string}[]} dots in world units
 */
export function drawMap(context, race, dots) {
  const { width } = context.canvas;
  const [side, margin] = [SHARE * width, MARGIN * width];
  const at = (x, y) => [
    margin + ((x + PLAYFIELD) / (2 * PLAYFIELD)) * side,
    margin + ((PLAYFIELD - y) / (2 * PLAYFIELD)) * side,
  ];
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = GROUND;
  context.fillRect(margin, margin, side, side);
  context.beginPath();
  for (const [, , x, y] of lines(race.track)) context.lineTo(...at(x, y));
  context.closePath();
  context.lineWidth = side / 40;
  context.strokeStyle = ROAD;
  context.stroke();
  for (const { x, y, colour } of dots) {
    context.beginPath();
    context.arc(...at(x, y), side / 28, 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
  }
  context.restore();
}

/** The points of a track's centre line, four numbers each. */
function* lines({ line }) {
  for (let at = 0; at < line.length; at += 4) yield line.subarray(at, at + 4);
}
