// Compares the page's race with numbers of the simulator in Python, and prints what differs as
// JSON. Usage: node car_racing.mjs vectors.json [folder of the modules]

import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [, , vectorsFile, folder] = process.argv;
const base = folder
  ? new URL(`${pathToFileURL(folder)}/`)
  : new URL('../../page/car_racing/', import.meta.url);
const load = (module) => import(new URL(module, base));
const { Race } = await load('race.js');
const { agentFrame } = await load('frame.js');
const { makeTrack } = await load('track.js');
const { sincos } = await load('trigonometry.js');
const { overlaps } = await load('overlap.js');
const { drawRace } = await load('race_view.js');

// As `page_vectors.py` orders them.
const STATE = [
  ...['position', 'centre', 'angle', 'sine', 'cosine', 'velocity', 'force'],
  ...['impulse', 'motorImpulse', 'limitImpulse', 'motorSpeed'],
  ...['gas', 'phase', 'omega', 'limit', 'onRoad'],
];
// Of a track's numbers, those that Box2D and the picture take.
const TRACK = {
  corners: 'corners',
  kerb: 'kerb',
  kerb_corners: 'kerbCorners',
  hull: 'hull',
  hull_corners: 'hullCorners',
  sides: 'sides',
  bounds: 'bounds',
};

/** How many numbers differ by a bit. */
function countDifferences(got, expected) {
  let count = Math.abs(got.length - expected.length);
  for (let index = 0; index < Math.min(got.length, expected.length); index++) {
    if (!Object.is(got[index], expected[index])) count += 1;
  }
  return count;
}

function stateOf(race) {
  const numbers = STATE.flatMap((name) => [...race.car[name]]);
  const touched = race.touched.reduce((sum, one) => sum + one, 0);
  return [...numbers, race.reward, race.tilesVisited, touched];
}

function compareTrack(track, expected, report) {
  report.tracks += 1;
  report.tiles += track.tiles;
  for (const [name, own] of Object.entries(TRACK)) {
    report.differentTrackNumbers += countDifferences(track[own], expected[name]);
  }
  report.differentLineNumbers += countDifferences(track.line, expected.line);
  expected.line.forEach((number, index) => {
    const off = Math.abs(number - track.line[index]);
    report.largestLineDifference = Math.max(report.largestLineDifference, off);
  });
}

function compareFrame(race, { shape, pixels }, report) {
  const expected = Buffer.from(pixels, 'base64');
  const began = performance.now();
  const got = agentFrame(race, ...shape);
  report.frameMilliseconds += performance.now() - began;
  let sum = got.length === expected.length ? 0 : Infinity;
  for (let index = 0; index < expected.length; index++) {
    const off = Math.abs(got[index] - expected[index]);
    sum += off;
    report.differentBytes += off ? 1 : 0;
    report.largestByteDifference = Math.max(report.largestByteDifference, off);
  }
  report.frames += 1;
  report.bytes += expected.length;
  const mean = sum / expected.length;
  report.largestMeanDifference = Math.max(report.largestMeanDifference, mean);
}

function compareDrive(drive, report) {
  const race = new Race(drive.track.seed);
  const frames = new Map(drive.frames.map((frame) => [frame.step, frame]));
  const differs = [countDifferences(stateOf(race), drive.states[0]) > 0];
  compareTrack(race.track, drive.track, report);
  drive.actions.forEach((action, step) => {
    if (frames.has(step)) compareFrame(race, frames.get(step), report);
    const began = performance.now();
    const { reward, terminated, truncated } = race.step(action);
    report.stepMilliseconds += performance.now() - began;
    const got = [...stateOf(race), reward, Number(terminated), Number(truncated)];
    const ends = drive.ends[step].map(Number);
    const expected = [...drive.states[step + 1], drive.rewards[step], ...ends];
    differs.push(countDifferences(got, expected) > 0);
    report.terminated += Number(terminated);
    report.truncated += Number(truncated);
  });
  report.steps += drive.actions.length;
  report.differentSteps += differs.filter(Boolean).length;
  if (differs.includes(true)) report.firstDifferences[drive.name] = differs.indexOf(true);
}

/** A canvas's context that only notes what it is told. */
class Notes {
  colours = [];
  finite = true;
  open = 0; // states that are saved and not restored
  globalAlpha = 1;

  constructor(width, height) {
    this.canvas = { width, height };
    const noted = ['fillRect', 'rect', 'moveTo', 'lineTo', 'translate', 'rotate'];
    for (const name of noted) this[name] = (...numbers) => this.#note(numbers);
    for (const name of ['beginPath', 'closePath', 'stroke']) this[name] = () => {};
  }

  #note(numbers) {
    this.finite &&= numbers.length > 0 && numbers.every(Number.isFinite);
  }

  setTransform(...numbers) {
    this.#note(numbers);
    this.transform = numbers;
  }

  save() {
    this.open += 1;
  }

  restore() {
    this.open -= 1;
  }

  fill() {
    this.colours.push(this.globalAlpha === 1 ? this.fillStyle : `faint ${this.fillStyle}`);
  }
}

/** What is drawn of a race after a second, with a rival or without; and where its car stands. */
function draw(width, height, withRival) {
  const race = new Race(3);
  for (let step = 0; step < 60; step++) race.step([0.1, 0.5, 0]);
  const before = stateOf(race);
  const notes = new Notes(width, height);
  drawRace(notes, race, withRival ? { rival: new Race(3, race.track) } : {});
  const [a, b, c, d, e, f] = notes.transform;
  const { x, y } = race.hull;
  return {
    finite: notes.finite && notes.open === 0,
    unchanged: countDifferences(stateOf(race), before) === 0,
    colours: [...new Set(notes.colours)].sort(),
    car: [(a * x + c * y + e) / width, (b * x + d * y + f) / height],
  };
}

const vectors = JSON.parse(readFileSync(vectorsFile, 'utf8'));
const report = {
  sines: vectors.sines.length,
  differentSines: 0,
  overlaps: vectors.overlaps.length,
  touching: 0,
  differentOverlaps: 0,
  tracks: 0,
  tiles: 0,
  differentTrackNumbers: 0,
  differentLineNumbers: 0,
  largestLineDifference: 0,
  steps: 0,
  differentSteps: 0,
  firstDifferences: {}, // of each drive that has any, the step
  terminated: 0,
  truncated: 0,
  frames: 0,
  bytes: 0,
  differentBytes: 0,
  largestByteDifference: 0,
  largestMeanDifference: 0, // of a frame
  stepMilliseconds: 0,
  frameMilliseconds: 0,
};
for (const [angle, sine, cosine] of vectors.sines) {
  report.differentSines += countDifferences(sincos(angle), [sine, cosine]) ? 1 : 0;
}
for (const { tile, corners, polygon, pose, touches } of vectors.overlaps) {
  const got = overlaps(Float32Array.from(tile), corners, Float32Array.from(polygon), pose);
  report.touching += Number(touches);
  report.differentOverlaps += got === touches ? 0 : 1;
}
for (const track of vectors.tracks) compareTrack(makeTrack(track.seed), track, report);
for (const drive of vectors.drives) compareDrive(drive, report);
report.drawings = [draw(1000, 700, false), draw(333, 999, true)];
report.stepMilliseconds /= report.steps;
report.frameMilliseconds /= report.frames;
console.log(JSON.stringify(report));
