/** A map of the track in the corner of a picture of the race. Read `drawMap`. */

import { PLAYFIELD } from './track.js';

const SHARE = 0.2; // of the picture's width
const MARGIN = 0.015;
const GROUND = 'rgba(16, 20, 16, 0.55)';
const ROAD = 'rgb(235, 235, 235)';
const ARROW = [
  [0, -1.2],
  [0.8, 0.8],
  [0, 0.4],
  [-0.8, 0.8],
];

/**
 * Draw the whole track, north up, and arrows for cars, into the upper left corner of a canvas.
 * @param {CanvasRenderingContext2D} context
 * @param {import('./race.js').Race} race whose track it is
 * @param {{x: number, y: number, angle: number, colour: string}[]} cars in world units
 */
export function drawMap(context, race, cars) {
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
  for (const { x, y, angle, colour } of cars) {
    context.save();
    context.translate(...at(x, y));
    context.rotate(-angle); // the canvas's y goes down
    context.scale(side / 20, side / 20);
    context.beginPath();
    for (const corner of ARROW) context.lineTo(...corner);
    context.fillStyle = colour;
    context.fill();
    context.restore();
  }
  context.restore();
}

/** The points of a track's centre line, four numbers each. */
function* lines({ line }) {
  for (let at = 0; at < line.length; at += 4) yield line.subarray(at, at + 4);
}
