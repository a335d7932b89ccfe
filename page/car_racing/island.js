/**
 * A step of Box2D 2.3 for the five bodies of a car: `b2Island::Solve`, float32 for float32, after
 * `worldmodels/car_racing/island.py`.
 *
 * Nothing in CarRacing collides, so a car is an island of its own: hull, four wheels, four joints.
 * 180 sweeps over the joints settle the velocities, up to 60 the positions. Read `solve`.
 */

import { HULL } from './car_shape.js';
import { BODIES, WHEELS, turn } from './car_state.js';
import {
  ANGULAR_SLOP,
  Joint,
  LIMITS,
  MOTORS,
  PI,
  STEP,
  SWEPT,
  WHEEL_MASS,
  initVelocity,
  solvePosition,
  solveVelocity,
} from './joints.js';

const F = Math.fround;
const VELOCITY_SWEEPS = 180;
const POSITION_SWEEPS = 60;
const MAX_TRANSLATION = 2; // in a step
const MAX_ROTATION = F(0.5 * PI);
const SLEEP_SPEED = F(0.01);
const SLEEP_TURN = ANGULAR_SLOP;
const TIME_TO_SLEEP = 0.5;
const [CENTRE_X, CENTRE_Y] = HULL.centre;
// Box2D goes over the joints from the last to the first.
const JOINT_ORDER = [3, 2, 1, 0];

const joints = Array.from({ length: WHEELS }, () => new Joint());

/** x squared and y squared, added in float32. */
const square = (x, y) => F(F(x * x) + F(y * y));

/**
 * Let the forces act for a step.
 * @param {import('./car_state.js').Car} car
 */
export function solve(car) {
  for (let index = 0; index < 2 * WHEELS; index++) {
    const body = 1 + (index >> 1);
    car.velocity[3 * body + (index & 1)] += F(STEP * F(WHEEL_MASS * car.force[index]));
  }
  for (const wheel of JOINT_ORDER) initVelocity(car, joints[wheel], wheel);
  settleVelocities(car);
  move(car);
  const solved = settlePositions(car);
  for (let body = 0; body < BODIES; body++) {
    turn(car, body);
    const [sine, cosine] = [car.sine[body], car.cosine[body]];
    const [x, y] = body === 0 ? [CENTRE_X, CENTRE_Y] : [0, 0];
    car.position[2 * body] = car.centre[2 * body] - F(F(cosine * x) - F(sine * y));
    car.position[2 * body + 1] = car.centre[2 * body + 1] - F(F(sine * x) + F(cosine * y));
  }
  rest(car, solved);
}

const now = new Float32Array(SWEPT);
const last = new Float32Array(SWEPT);
const beforeLast = new Float32Array(SWEPT);
const impulses = new Float32Array(2 * WHEELS); // of this sweep
const lastImpulses = new Float32Array(2 * WHEELS);

/**
 * The 180 sweeps. Each is a function of what the one before left, so once that comes back to what
 * it was one or two sweeps ago, to the bit, all that follow are known: velocities repeat
 * themselves, and only the impulses at the anchors add up.
 */
function settleVelocities(car) {
  now.set(car.velocity);
  now.set(car.motorImpulse, MOTORS);
  now.set(car.limitImpulse, LIMITS);
  for (let left = VELOCITY_SWEEPS - 1; left >= 0; left--) {
    beforeLast.set(last);
    last.set(now);
    lastImpulses.set(impulses);
    for (const wheel of JOINT_ORDER) {
      solveVelocity(joints[wheel], wheel, car.motorSpeed[wheel], car.limit[wheel], now, impulses);
    }
    add(car.impulse, impulses);
    if (VELOCITY_SWEEPS - left <= 2) continue; // nothing of this step lies two sweeps back
    if (same(now, last)) {
      for (let sweep = 0; sweep < left; sweep++) add(car.impulse, impulses);
      break;
    }
    if (same(now, beforeLast)) {
      for (let sweep = 0; sweep < left; sweep++) {
        add(car.impulse, sweep & 1 ? impulses : lastImpulses);
      }
      if (left & 1) now.set(last);
      break;
    }
  }
  car.velocity.set(now.subarray(0, MOTORS));
  car.motorImpulse.set(now.subarray(MOTORS, LIMITS));
  car.limitImpulse.set(now.subarray(LIMITS));
}

function same(one, other) {
  for (let index = 0; index < SWEPT; index++) {
    if (one[index] !== other[index]) return false;
  }
  return true;
}

function add(sums, values) {
  for (let index = 0; index < values.length; index++) sums[index] += values[index];
}

/** Move the bodies by their velocities, which Box2D bounds. */
function move(car) {
  const { velocity } = car;
  for (let body = 0; body < BODIES; body++) {
    const at = 3 * body;
    const length = square(F(STEP * velocity[at]), F(STEP * velocity[at + 1]));
    if (length > MAX_TRANSLATION * MAX_TRANSLATION) {
      const ratio = F(MAX_TRANSLATION / F(Math.sqrt(length)));
      velocity[at] *= ratio;
      velocity[at + 1] *= ratio;
    }
    const rotation = F(STEP * velocity[at + 2]);
    if (F(rotation * rotation) > F(MAX_ROTATION * MAX_ROTATION)) {
      velocity[at + 2] *= F(MAX_ROTATION / Math.abs(rotation));
    }
    car.centre[2 * body] += F(STEP * velocity[at]);
    car.centre[2 * body + 1] += F(STEP * velocity[at + 1]);
    car.angle[body] += F(STEP * velocity[at + 2]);
  }
}

/** Sweep until all joints are right; whether they are. */
function settlePositions(car) {
  turn(car, 0);
  for (let sweep = 0; sweep < POSITION_SWEEPS; sweep++) {
    let solved = true;
    for (const wheel of JOINT_ORDER) solved = solvePosition(car, wheel) && solved;
    if (solved) return true;
  }
  return false;
}

/** Stop a car that has hardly moved for half a second. gym wakes it at the next step. */
function rest(car, solved) {
  const { velocity, restTime } = car;
  let asleep = solved;
  for (let body = 0; body < BODIES; body++) {
    const at = 3 * body;
    const moves = square(velocity[at], velocity[at + 1]) > F(SLEEP_SPEED * SLEEP_SPEED);
    const turns = F(velocity[at + 2] * velocity[at + 2]) > F(SLEEP_TURN * SLEEP_TURN);
    restTime[body] = moves || turns ? 0 : restTime[body] + STEP;
    asleep = asleep && restTime[body] >= TIME_TO_SLEEP;
  }
  if (!asleep) return;
  restTime.fill(0);
  velocity.fill(0);
}
