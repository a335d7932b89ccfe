/**
 * A car as arrays of numbers, and what moves it but Box2D: gym's `car_dynamics.Car.step`, after
 * `worldmodels/car_racing/car_state.py`.
 *
 * float32 is what Box2D keeps, doubles are what gym keeps in Python. An array of float32 rounds
 * what is put into it. Read `makeCar`, then `drive`.
 */

import { HULL, UNIT, WHEELS_AT } from './car_shape.js';
import { sincos } from './trigonometry.js';

const F = Math.fround;
export const BODIES = 5; // the hull, then the wheels
export const WHEELS = 4;

// gym's constants, computed in Python's own order.
export const TIME_STEP = 1.0 / 50;
const ENGINE_POWER = 100000000 * UNIT * UNIT;
const WHEEL_INERTIA = 4000 * UNIT * UNIT;
const FRICTION_LIMIT = 1000000 * UNIT * UNIT;
const GRASS_FRICTION_LIMIT = FRICTION_LIMIT * 0.6;
const WHEEL_RADIUS = 1.0 * 27 * UNIT;
const SLIP_FORCE = 205000 * UNIT * UNIT; // a unit a second of slip
const BRAKE_FORCE = 15;
const POWER_STEP = TIME_STEP * ENGINE_POWER;

/**
 * @typedef {object} Car
 * Bodies, as b2Body has them; x, y (and angle) of each in turn:
 * @property {Float32Array} position (5 x 2) of the body's origin
 * @property {Float32Array} centre (5 x 2) of its mass
 * @property {Float32Array} angle (5), radians
 * @property {Float32Array} sine (5)
 * @property {Float32Array} cosine (5)
 * @property {Float32Array} velocity (5 x 3) x, y, angle, a second
 * @property {Float32Array} restTime (5) seconds that it has hardly moved
 * @property {Float32Array} force (4 x 2) on the wheels
 * Joints of the wheels, as b2RevoluteJoint has them:
 * @property {Float32Array} impulse (4 x 2)
 * @property {Float32Array} motorImpulse (4)
 * @property {Float32Array} limitImpulse (4)
 * @property {Int8Array} limit (4) -1 at the lower one, 1 at the upper one, 0 between
 * @property {Float32Array} motorSpeed (4)
 * What gym keeps of the wheels:
 * @property {Float64Array} steer (4)
 * @property {Float64Array} gas (4)
 * @property {Float64Array} brake (4)
 * @property {Float64Array} phase (4) radians that it has rolled
 * @property {Float64Array} omega (4) radians a second that it rolls
 * @property {Uint8Array} onRoad (4)
 */

/** @returns {Car} all zeros */
export function makeCar() {
  return {
    position: new Float32Array(2 * BODIES),
    centre: new Float32Array(2 * BODIES),
    angle: new Float32Array(BODIES),
    sine: new Float32Array(BODIES),
    cosine: new Float32Array(BODIES),
    velocity: new Float32Array(3 * BODIES),
    restTime: new Float32Array(BODIES),
    force: new Float32Array(2 * WHEELS),
    impulse: new Float32Array(2 * WHEELS),
    motorImpulse: new Float32Array(WHEELS),
    limitImpulse: new Float32Array(WHEELS),
    limit: new Int8Array(WHEELS),
    motorSpeed: new Float32Array(WHEELS),
    steer: new Float64Array(WHEELS),
    gas: new Float64Array(WHEELS),
    brake: new Float64Array(WHEELS),
    phase: new Float64Array(WHEELS),
    omega: new Float64Array(WHEELS),
    onRoad: new Uint8Array(WHEELS),
  };
}

/** Sine and cosine of a body's angle, which Box2D keeps beside it. */
export function turn(car, body) {
  [car.sine[body], car.cosine[body]] = sincos(car.angle[body]);
}

/**
 * A new car at rest: gym's `Car.__init__`. The wheels stand where the hull's angle is 0, as gym
 * puts them; the joints draw them to their places in the first step.
 * @returns {Car}
 */
export function place(angle, x, y) {
  const car = makeCar();
  for (let body = 0; body < BODIES; body++) {
    car.angle[body] = angle;
    turn(car, body);
    const [offX, offY] = body === 0 ? [0, 0] : WHEELS_AT[body - 1];
    car.position[2 * body] = x + offX * UNIT;
    car.position[2 * body + 1] = y + offY * UNIT;
  }
  car.centre.set(car.position);
  const [sine, cosine, [centreX, centreY]] = [car.sine[0], car.cosine[0], HULL.centre];
  car.centre[0] = F(F(cosine * centreX) - F(sine * centreY)) + car.position[0];
  car.centre[1] = F(F(sine * centreX) + F(cosine * centreY)) + car.position[1];
  return car;
}

/** Take an action: gym's `Car.steer`, `gas` and `brake`. Steering is positive to the right. */
export function control(car, steering, gas, brake) {
  const wanted = Math.min(Math.max(gas, 0), 1);
  for (let wheel = 0; wheel < WHEELS; wheel++) {
    car.brake[wheel] = brake;
    if (wheel < 2) car.steer[wheel] = -steering;
    else car.gas[wheel] += Math.min(wanted - car.gas[wheel], 0.1);
  }
}

/**
 * gym's `Car.step`: motors turn the wheels to where they are steered, and the road or the grass
 * that each wheel touched at the last step pushes it.
 */
export function drive(car) {
  for (let wheel = 0; wheel < WHEELS; wheel++) {
    const off = car.steer[wheel] - F(car.angle[wheel + 1] - car.angle[0]);
    car.motorSpeed[wheel] = sign(off) * Math.min(50.0 * Math.abs(off), 3.0);
    car.omega[wheel] = rolled(car, wheel);
    car.phase[wheel] += car.omega[wheel] * TIME_STEP;
    push(car, wheel);
  }
}

/** Without a sign of its own for zero, unlike `Math.sign`. */
const sign = (x) => (x > 0 ? 1 : x < 0 ? -1 : 0);

/** How fast a wheel rolls after engine and brake. */
function rolled(car, wheel) {
  let omega = car.omega[wheel];
  omega += (POWER_STEP * car.gas[wheel]) / WHEEL_INERTIA / (Math.abs(omega) + 5.0);
  const brake = car.brake[wheel];
  if (brake >= 0.9) return 0;
  if (brake > 0) omega -= sign(omega) * Math.min(BRAKE_FORCE * brake, Math.abs(omega));
  return omega;
}

/** The ground's force on a wheel, against its slip, as far as friction goes. */
function push(car, wheel) {
  const body = wheel + 1;
  const limit = car.onRoad[wheel] ? FRICTION_LIMIT : GRASS_FRICTION_LIMIT;
  // The wheel's own axes in the world: forward is (0, 1), its side (1, 0).
  const [forwardX, forwardY] = [-car.sine[body], car.cosine[body]];
  const [sideX, sideY] = [forwardY, -forwardX];
  const [vx, vy] = [car.velocity[3 * body], car.velocity[3 * body + 1]];
  const forwardSpeed = forwardX * vx + forwardY * vy;
  const sideSpeed = sideX * vx + sideY * vy;
  const omega = car.omega[wheel];
  let forwardForce = (-forwardSpeed + omega * WHEEL_RADIUS) * SLIP_FORCE;
  let sideForce = -sideSpeed * SLIP_FORCE;
  const force = Math.sqrt(forwardForce * forwardForce + sideForce * sideForce);
  if (force > limit) {
    forwardForce = (forwardForce / force) * limit;
    sideForce = (sideForce / force) * limit;
  }
  car.omega[wheel] = omega - (TIME_STEP * forwardForce * WHEEL_RADIUS) / WHEEL_INERTIA;
  car.force[2 * wheel] = sideForce * sideX + forwardForce * forwardX;
  car.force[2 * wheel + 1] = sideForce * sideY + forwardForce * forwardY;
}
