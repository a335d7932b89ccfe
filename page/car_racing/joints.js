/**
 * The joints between the hull and its wheels: Box2D 2.3's `b2RevoluteJoint`, float32 for float32,
 * after `worldmodels/car_racing/joints.py`.
 *
 * A joint holds a wheel's centre at its anchor on the hull, turns it by a motor to where it is
 * steered, and stops it at 0.4 radians to either side. The wheel's anchor is its centre, which
 * spares half of Box2D's terms; the order of what is left is Box2D's, on which last bits depend.
 * Box2D's licence is in `NOTICE.md`. Read `solveVelocity`.
 */

import { HULL, UNIT, WHEEL, WHEELS_AT } from './car_shape.js';
import { BODIES, TIME_STEP, WHEELS, turn } from './car_state.js';

const F = Math.fround;
export const STEP = F(TIME_STEP);
const HULL_MASS = HULL.inverseMass; // all four inverse
export const WHEEL_MASS = WHEEL.inverseMass;
const HULL_INERTIA = HULL.inverseInertia;
const WHEEL_INERTIA = WHEEL.inverseInertia;
const BOTH_MASS = F(HULL_MASS + WHEEL_MASS);
const BOTH_INERTIA = F(HULL_INERTIA + WHEEL_INERTIA);
const MOTOR_MASS = F(1 / BOTH_INERTIA);
const MAX_MOTOR_IMPULSE = F(STEP * F(180 * 900 * UNIT * UNIT));
const LOWER = F(-0.4);
const UPPER = F(0.4);
const ANCHOR_X = WHEELS_AT.map(([x]) => F(F(x * UNIT) - HULL.centre[0]));
const ANCHOR_Y = WHEELS_AT.map(([, y]) => F(F(y * UNIT) - HULL.centre[1]));
export const PI = F(3.14159265359);
const LINEAR_SLOP = F(0.005);
export const ANGULAR_SLOP = F(F(2 / 180) * PI);
const MAX_ANGULAR_CORRECTION = F(F(8 / 180) * PI);

/** Velocities of the bodies (x, y, angle of each), then impulses of motors and of limits. */
export const MOTORS = 3 * BODIES;
export const LIMITS = MOTORS + WHEELS;
export const SWEPT = LIMITS + WHEELS;

/** A matrix (symmetric, 2 x 2) times a vector is two of these: a x + b y, in float32. */
const sum2 = (a, x, b, y) => F(F(a * x) + F(b * y));
/** a x - b y in float32. */
const less2 = (a, x, b, y) => F(F(a * x) - F(b * y));
/** a x + b y + c z in float32. */
const sum3 = (a, x, b, y, c, z) => F(F(F(a * x) + F(b * y)) + F(c * z));

/** One over a determinant that may be zero. */
const inverse = (determinant) => (determinant === 0 ? 0 : F(1 / determinant));

/**
 * A joint during a step: the arm from the hull's centre to the anchor, the effective mass matrix
 * (symmetric, 3 x 3), the first column of its adjoint, and one over its determinants. All float32.
 */
export class Joint {
  armX = 0;
  armY = 0;
  k11 = 0;
  k12 = 0;
  k13 = 0;
  k22 = 0;
  k23 = 0;
  adjoint1 = 0;
  adjoint2 = 0;
  adjoint3 = 0;
  over2 = 0;
  over3 = 0;
}

/**
 * InitVelocityConstraints: arm, masses, limit; and the warm start, by the last step's impulses, on
 * the velocities of hull and wheel.
 */
export function initVelocity(car, joint, wheel) {
  setMasses(car, joint, wheel);
  const body = wheel + 1;
  const angle = F(car.angle[body] - car.angle[0]);
  const limit = angle <= LOWER ? -1 : angle >= UPPER ? 1 : 0;
  if (limit === 0 || limit !== car.limit[wheel]) car.limitImpulse[wheel] = 0;
  car.limit[wheel] = limit;

  const { velocity } = car;
  const [ix, iy] = [car.impulse[2 * wheel], car.impulse[2 * wheel + 1]];
  const [motor, stop] = [car.motorImpulse[wheel], car.limitImpulse[wheel]];
  const twist = F(F(less2(joint.armX, iy, joint.armY, ix) + motor) + stop);
  velocity[0] -= F(HULL_MASS * ix);
  velocity[1] -= F(HULL_MASS * iy);
  velocity[2] -= F(HULL_INERTIA * twist);
  velocity[3 * body] += F(WHEEL_MASS * ix);
  velocity[3 * body + 1] += F(WHEEL_MASS * iy);
  velocity[3 * body + 2] += F(WHEEL_INERTIA * F(motor + stop));
}

function setMasses(car, joint, wheel) {
  const [sine, cosine] = [car.sine[0], car.cosine[0]];
  const x = less2(cosine, ANCHOR_X[wheel], sine, ANCHOR_Y[wheel]);
  const y = sum2(sine, ANCHOR_X[wheel], cosine, ANCHOR_Y[wheel]);
  const k11 = F(BOTH_MASS + F(F(y * y) * HULL_INERTIA));
  const k12 = F(F(-y * x) * HULL_INERTIA);
  const k13 = F(-y * HULL_INERTIA);
  const k22 = F(BOTH_MASS + F(F(x * x) * HULL_INERTIA));
  const k23 = F(x * HULL_INERTIA);
  joint.armX = x;
  joint.armY = y;
  joint.k11 = k11;
  joint.k12 = k12;
  joint.k13 = k13;
  joint.k22 = k22;
  joint.k23 = k23;
  joint.adjoint1 = less2(k22, BOTH_INERTIA, k23, k23);
  joint.adjoint2 = less2(k23, k13, k12, BOTH_INERTIA);
  joint.adjoint3 = less2(k12, k23, k22, k13);
  joint.over2 = inverse(less2(k11, k22, k12, k12));
  joint.over3 = inverse(
    sum3(k11, joint.adjoint1, k12, joint.adjoint2, k13, joint.adjoint3),
  );
}

/**
 * SolveVelocityConstraints: the motor first, then the limit and the anchor together.
 * @param {Joint} joint
 * @param {number} wheel which one
 * @param {number} motorSpeed of the car
 * @param {number} limit of the car
 * @param {Float32Array} swept (23) what a sweep reads and changes: velocities, then impulses so far
 *   in this step of motors and of limits
 * @param {Float32Array} impulses (4 x 2) in which to put the impulse at the anchor
 */
export function solveVelocity(joint, wheel, motorSpeed, limit, swept, impulses) {
  const at = 3 * wheel + 3;
  const before = swept[MOTORS + wheel];
  const wanted = F(before + F(-MOTOR_MASS * F(F(swept[at + 2] - swept[2]) - motorSpeed)));
  const motor = Math.max(-MAX_MOTOR_IMPULSE, Math.min(wanted, MAX_MOTOR_IMPULSE));
  swept[MOTORS + wheel] = motor;
  const hullTurn = F(swept[2] - F(HULL_INERTIA * F(motor - before)));
  const wheelTurn = F(swept[at + 2] + F(WHEEL_INERTIA * F(motor - before)));

  const { armX, armY, k11, k12, k22 } = joint;
  const offX = F(F(swept[at] - swept[0]) - F(-hullTurn * armY));
  const offY = F(F(swept[at + 1] - swept[1]) - F(hullTurn * armX));
  let x = 0;
  let y = 0;
  let stop = 0; // the limit's impulse
  if (limit === 0) {
    x = F(joint.over2 * less2(k22, -offX, k12, -offY));
    y = F(joint.over2 * less2(k11, -offY, k12, -offX));
  } else {
    // b2Mat33::Solve33, and Solve22 where the wheel comes off its limit.
    const { k13, k23, over3 } = joint;
    const off = F(wheelTurn - hullTurn);
    const b1 = less2(offY, BOTH_INERTIA, off, k23);
    const b2 = less2(off, k13, offX, BOTH_INERTIA);
    const b3 = less2(offX, k23, offY, k13);
    const d1 = less2(k22, off, k23, offY);
    const d2 = less2(k23, offX, k12, off);
    const d3 = less2(k12, offY, k22, offX);
    x = F(-over3 * sum3(offX, joint.adjoint1, offY, joint.adjoint2, off, joint.adjoint3));
    y = F(-over3 * sum3(k11, b1, k12, b2, k13, b3));
    stop = F(-over3 * sum3(k11, d1, k12, d2, k13, d3));
    const soFar = swept[LIMITS + wheel];
    let total = F(soFar + stop);
    if (limit < 0 ? total < 0 : total > 0) {
      const restX = F(-offX + F(soFar * k13));
      const restY = F(-offY + F(soFar * k23));
      x = F(joint.over2 * less2(k22, restX, k12, restY));
      y = F(joint.over2 * less2(k11, restY, k12, restX));
      stop = -soFar;
      total = 0;
    }
    swept[LIMITS + wheel] = total;
  }
  swept[0] -= F(HULL_MASS * x);
  swept[1] -= F(HULL_MASS * y);
  swept[2] = hullTurn - F(HULL_INERTIA * F(less2(armX, y, armY, x) + stop));
  swept[at] += F(WHEEL_MASS * x);
  swept[at + 1] += F(WHEEL_MASS * y);
  swept[at + 2] = wheelTurn + F(WHEEL_INERTIA * stop);
  impulses[2 * wheel] = x;
  impulses[2 * wheel + 1] = y;
}

/**
 * SolvePositionConstraints: move hull and wheel until the limit and the anchor are right.
 * @returns {boolean} whether they were, within Box2D's tolerance
 */
export function solvePosition(car, wheel) {
  const error = car.limit[wheel] === 0 ? 0 : turnToLimit(car, wheel);
  const distance = moveToAnchor(car, wheel);
  return distance <= LINEAR_SLOP && error <= ANGULAR_SLOP;
}

/** Turn a wheel that is beyond its limit, and the hull against it; how far beyond it was. */
function turnToLimit(car, wheel) {
  const body = wheel + 1;
  const lower = car.limit[wheel] < 0;
  const off = F(F(car.angle[body] - car.angle[0]) - (lower ? LOWER : UPPER));
  const correction = lower
    ? Math.max(-MAX_ANGULAR_CORRECTION, Math.min(F(off + ANGULAR_SLOP), 0))
    : Math.max(0, Math.min(F(off - ANGULAR_SLOP), MAX_ANGULAR_CORRECTION));
  const impulse = F(-MOTOR_MASS * correction);
  car.angle[0] -= F(HULL_INERTIA * impulse);
  car.angle[body] += F(WHEEL_INERTIA * impulse);
  turn(car, 0);
  return lower ? -off : off;
}

/** Move a wheel's centre and its anchor to each other; how far apart they were. */
function moveToAnchor(car, wheel) {
  const { centre } = car;
  const at = 2 * wheel + 2;
  const [sine, cosine] = [car.sine[0], car.cosine[0]];
  const x = less2(cosine, ANCHOR_X[wheel], sine, ANCHOR_Y[wheel]);
  const y = sum2(sine, ANCHOR_X[wheel], cosine, ANCHOR_Y[wheel]);
  const offX = F(F(centre[at] - centre[0]) - x);
  const offY = F(F(centre[at + 1] - centre[1]) - y);
  const k11 = F(BOTH_MASS + F(F(HULL_INERTIA * y) * y));
  const k12 = F(F(-HULL_INERTIA * x) * y);
  const k22 = F(BOTH_MASS + F(F(HULL_INERTIA * x) * x));
  const over = inverse(less2(k11, k22, k12, k12));
  const impulseX = -F(over * less2(k22, offX, k12, offY));
  const impulseY = -F(over * less2(k11, offY, k12, offX));
  centre[0] -= F(HULL_MASS * impulseX);
  centre[1] -= F(HULL_MASS * impulseY);
  const before = car.angle[0];
  car.angle[0] -= F(HULL_INERTIA * less2(x, impulseY, y, impulseX));
  if (car.angle[0] !== before) turn(car, 0);
  centre[at] += F(WHEEL_MASS * impulseX);
  centre[at + 1] += F(WHEEL_MASS * impulseY);
  return F(Math.sqrt(sum2(offX, offX, offY, offY)));
}
