/**
 * The car's polygons, and the masses that Box2D gives them, in float32 as Box2D computes them,
 * after `worldmodels/car_racing/car_shape.py`.
 *
 * The measures are gym's (`car_dynamics.py`), in fiftieths of a world unit. Read `HULL` and
 * `WHEEL`.
 */

const F = Math.fround;
export const UNIT = 0.02; // world units in one of the measures below: gym's SIZE
// Front left and right, rear left and right.
export const WHEELS_AT = [
  [-55, 80],
  [55, 80],
  [-55, -82],
  [55, -82],
];
export const HULL_POLYGONS = [
  [[-60, 130], [60, 130], [60, 110], [-60, 110]],
  [[-15, 120], [15, 120], [20, 20], [-20, 20]],
  [[25, 20], [50, -10], [50, -40], [20, -90], [-20, -90], [-50, -40], [-50, -10], [-25, 20]],
  [[-50, -120], [50, -120], [50, -90], [-50, -90]],
];
export const WHEEL_POLYGON = [[-14, 27], [14, 27], [14, -27], [-14, -27]];

/**
 * @typedef {object} Body
 * @property {Float32Array[]} polygons its convex hulls, x and y of each corner in turn, in world
 *   units around the body's origin
 * @property {number} inverseMass float32
 * @property {number} inverseInertia float32, about the centre of mass
 * @property {[number, number]} centre of mass, float32
 */

/** The cross product of a and b in float32. */
const cross = (ax, ay, bx, by) => F(F(ax * by) - F(ay * bx));
/** The dot product of a and b in float32. */
const dot = (ax, ay, bx, by) => F(F(ax * bx) + F(ay * by));

/**
 * The convex hull in the order in which b2PolygonShape::Set wraps it: from the rightmost corner on,
 * the lowest of equals, counterclockwise.
 * @param {Float32Array} corners x and y in turn
 * @returns {number[]} which corners, at most all of them
 */
export function convexHull(corners) {
  const count = corners.length / 2;
  const first = rightmost(corners);
  const hull = [first];
  for (;;) {
    const following = nextOfHull(corners, hull.at(-1));
    if (following === first || hull.length === count) return hull;
    hull.push(following);
  }
}

function rightmost(corners) {
  let first = 0;
  for (let index = 1; index < corners.length / 2; index++) {
    const [x, y] = [corners[2 * index], corners[2 * index + 1]];
    const [firstX, firstY] = [corners[2 * first], corners[2 * first + 1]];
    if (x > firstX || (x === firstX && y < firstY)) first = index;
  }
  return first;
}

/** The corner after one of the hull: all others lie to the left of the line to it. */
function nextOfHull(corners, at) {
  let following = 0;
  for (let index = 1; index < corners.length / 2; index++) {
    if (following === at) {
      following = index;
      continue;
    }
    const rx = F(corners[2 * following] - corners[2 * at]);
    const ry = F(corners[2 * following + 1] - corners[2 * at + 1]);
    const vx = F(corners[2 * index] - corners[2 * at]);
    const vy = F(corners[2 * index + 1] - corners[2 * at + 1]);
    const side = cross(rx, ry, vx, vy);
    if (side < 0 || (side === 0 && dot(vx, vy, vx, vy) > dot(rx, ry, rx, ry))) following = index;
  }
  return following;
}

/** The mean of a polygon's corners. */
function middle(corners) {
  let [x, y] = [0, 0];
  for (let index = 0; index < corners.length; index += 2) {
    x = F(x + corners[index]);
    y = F(y + corners[index + 1]);
  }
  const over = F(1 / (corners.length / 2));
  return [F(x * over), F(y * over)];
}

/** b2PolygonShape::ComputeMass: mass, centre and inertia about the origin. */
function massOf(corners, density) {
  const [referenceX, referenceY] = middle(corners);
  const third = F(1 / 3);
  let [x, y, area, inertia] = [0, 0, 0, 0];
  for (let index = 0; index < corners.length; index += 2) {
    const following = (index + 2) % corners.length;
    const x1 = F(corners[index] - referenceX);
    const y1 = F(corners[index + 1] - referenceY);
    const x2 = F(corners[following] - referenceX);
    const y2 = F(corners[following + 1] - referenceY);
    const doubled = cross(x1, y1, x2, y2);
    const triangle = F(0.5 * doubled);
    const share = F(triangle * third);
    area = F(area + triangle);
    x = F(x + F(share * F(x1 + x2)));
    y = F(y + F(share * F(y1 + y2)));
    const squareX = F(dot(x1, x2, x1, x1) + F(x2 * x2));
    const squareY = F(dot(y1, y2, y1, y1) + F(y2 * y2));
    inertia = F(inertia + F(F(F(F(0.25) * third) * doubled) * F(squareX + squareY)));
  }
  const mass = F(density * area);
  const over = F(1 / area);
  x = F(x * over);
  y = F(y * over);
  const [atX, atY] = [F(x + referenceX), F(y + referenceY)];
  inertia = F(density * inertia);
  inertia = F(inertia + F(mass * F(dot(atX, atY, atX, atY) - dot(x, y, x, y))));
  return { mass, x: atX, y: atY, inertia };
}

/** A polygon in world units, its corners in Box2D's order. */
function worldPolygon(measures) {
  const corners = Float32Array.from(measures.flat(), (measure) => measure * UNIT);
  const hull = convexHull(corners);
  return Float32Array.from(hull.flatMap((at) => [corners[2 * at], corners[2 * at + 1]]));
}

/**
 * b2Body::ResetMassData: of several polygons, the last one first.
 * @returns {Body}
 */
function makeBody(measures, density) {
  const polygons = measures.map(worldPolygon);
  let [mass, x, y, inertia] = [0, 0, 0, 0];
  for (const polygon of [...polygons].reverse()) {
    const part = massOf(polygon, F(density));
    mass = F(mass + part.mass);
    x = F(x + F(part.mass * part.x));
    y = F(y + F(part.mass * part.y));
    inertia = F(inertia + part.inertia);
  }
  const inverseMass = F(1 / mass);
  x = F(x * inverseMass);
  y = F(y * inverseMass);
  inertia = F(inertia - F(mass * dot(x, y, x, y)));
  return { polygons, inverseMass, inverseInertia: F(1 / inertia), centre: [x, y] };
}

export const HULL = makeBody(HULL_POLYGONS, 1.0);
export const WHEEL = makeBody([WHEEL_POLYGON], 0.1);
