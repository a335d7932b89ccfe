/**
 * Which tiles of the road the car touches: b2ContactManager::Collide with gym's FrictionDetector,
 * after `touch_tiles` in `worldmodels/car_racing/race.py`. Read `touchTiles`.
 */

import { HULL, WHEEL } from './car_shape.js';
import { WHEELS } from './car_state.js';
import { overlaps, surely } from './overlap.js';

const F = Math.fround;
const NEAR = 8; // world units that a car can go before near tiles are looked for again
const REACH = F(2.9); // of a car's polygons from its hull's origin
const WHEEL_HALF_WIDTH = F(14 * 0.02);
const WHEEL_HALF_LENGTH = F(27 * 0.02);
// A box around the hull.
const HULL_HALF_WIDTH = F(1.2);
const HULL_HALF_LENGTH = F(2.5);
const HULL_MIDDLE = F(0.1);

/** Tiles of a track, and what the car has touched of them. */
export class Tiles {
  #near = [];
  #nearX = Infinity; // where near tiles were last looked for
  #nearY = Infinity;

  /** @param {import('./track.js').Track} track */
  constructor(track) {
    this.track = track;
    this.visited = new Uint8Array(track.tiles); // by a wheel: they pay
    this.touched = new Uint8Array(track.tiles); // by hull or wheel: they have lost their shade
  }

  /**
   * Find out which wheels are on the road, and what tiles they visit for the first time. Tiles are
   * looked at where the bodies stand now.
   * @param {import('./car_state.js').Car} car
   * @returns {number[]} the tiles visited for the first time
   */
  touch(car) {
    this.#findNear(car);
    car.onRoad.fill(0);
    const poses = Array.from({ length: 1 + WHEELS }, (_, body) => poseOf(car, body));
    const visits = [];
    for (const tile of this.#near) {
      if (!this.#isWithin(tile, poses[0].x, poses[0].y, REACH)) continue;
      for (let wheel = 0; wheel < WHEELS; wheel++) {
        if (car.onRoad[wheel] && this.visited[tile]) continue; // nothing new to learn
        if (!this.#wheelTouches(poses[wheel + 1], tile)) continue;
        car.onRoad[wheel] = 1;
        this.touched[tile] = 1;
        if (!this.visited[tile]) visits.push(tile);
        this.visited[tile] = 1;
      }
      if (!this.touched[tile]) this.touched[tile] = this.#hullTouches(poses[0], tile) ? 1 : 0;
    }
    return visits;
  }

  #findNear(car) {
    const [x, y] = car.position;
    const near = Math.abs(F(x - this.#nearX)) <= NEAR && Math.abs(F(y - this.#nearY)) <= NEAR;
    if (near) return;
    [this.#nearX, this.#nearY] = [x, y];
    this.#near = [];
    for (let tile = 0; tile < this.track.tiles; tile++) {
      if (this.#isWithin(tile, x, y, F(NEAR + REACH))) this.#near.push(tile);
    }
  }

  #isWithin(tile, x, y, reach) {
    const { bounds } = this.track;
    return (
      bounds[4 * tile] <= F(x + reach) &&
      bounds[4 * tile + 2] >= F(x - reach) &&
      bounds[4 * tile + 1] <= F(y + reach) &&
      bounds[4 * tile + 3] >= F(y - reach)
    );
  }

  #overlaps(tile, polygon, pose) {
    const hull = this.track.hull.subarray(8 * tile, 8 * tile + 8);
    return overlaps(hull, this.track.hullCorners[tile], polygon, pose);
  }

  #wheelTouches(pose, tile) {
    const sure = surely(this.track.sides, tile, WHEEL_HALF_WIDTH, WHEEL_HALF_LENGTH, pose);
    return sure >= 0 ? sure === 1 : this.#overlaps(tile, WHEEL.polygons[0], pose);
  }

  #hullTouches(pose, tile) {
    const middle = {
      ...pose,
      x: F(pose.x - F(pose.sine * HULL_MIDDLE)),
      y: F(pose.y + F(pose.cosine * HULL_MIDDLE)),
    };
    const sure = surely(this.track.sides, tile, HULL_HALF_WIDTH, HULL_HALF_LENGTH, middle);
    return sure !== 0 && HULL.polygons.some((polygon) => this.#overlaps(tile, polygon, pose));
  }
}

/** @returns {import('./overlap.js').Pose} */
function poseOf(car, body) {
  const [x, y] = [car.position[2 * body], car.position[2 * body + 1]];
  return { x, y, sine: car.sine[body], cosine: car.cosine[body] };
}
