/**
 * Whether a tile of the road and a polygon of the car touch: Box2D 2.3's `b2TestOverlap`, after
 * `worldmodels/car_racing/overlap.py`.
 *
 * That is GJK, `b2Distance`, between convex polygons with a skin of 0.01 each: it walks over
 * triangles of differences of corners towards the origin. The order of its comparisons and sums
 * decides what it says near a border, so they are Box2D's. Most questions are far from one and get
 * `surely`'s quick answer instead. Read `overlaps`.
 */

const F = Math.fround;
const EPSILON = 2 ** -23;
const SKIN = F(2 * F(0.005));
const SKINS = F(SKIN + SKIN);
const TOUCHING = F(10 * EPSILON);
const MAX_ITERATIONS = 20;
const MARGIN = F(2e-3); // in which `surely` is not sure

/**
 * A corner of the simplex: a corner of the tile, one of the polygon, their difference, its weight,
 * and which corners they are.
 */
class Vertex {
  tileX = 0;
  tileY = 0;
  x = 0;
  y = 0;
  offX = 0;
  offY = 0;
  weight = 0;
  tileCorner = 0;
  corner = 0;
}

/** @typedef {{x: number, y: number, sine: number, cosine: number}} Pose of a body, all float32 */

/** The dot product of a and b in float32. */
const dot = (ax, ay, bx, by) => F(F(ax * bx) + F(ay * by));
/** The cross product of a and b in float32. */
const cross = (ax, ay, bx, by) => F(F(ax * by) - F(ay * bx));

/**
 * Do they touch?
 * @param {Float32Array} tile (4 x 2) in the world
 * @param {number} tileCorners how many of these are its own
 * @param {Float32Array} polygon (corners x 2) around its body's origin
 * @param {Pose} pose of the body
 * @returns {boolean}
 */
export function overlaps(tile, tileCorners, polygon, pose) {
  const simplex = [new Vertex(), new Vertex(), new Vertex()];
  setSupport(simplex[0], tile, 0, polygon, 0, pose);
  simplex[0].weight = 1;
  let count = 1;
  for (let iteration = 0; iteration < MAX_ITERATIONS; iteration++) {
    const before = simplex.slice(0, count).map(({ tileCorner, corner }) => [tileCorner, corner]);
    if (count === 2) count = solveLine(simplex);
    else if (count === 3) count = solveTriangle(simplex);
    if (count === 3) return true; // the origin is inside
    const [towardsX, towardsY] = direction(simplex, count);
    if (dot(towardsX, towardsY, towardsX, towardsY) < EPSILON * EPSILON) break;
    const tileCorner = furthest(tile, tileCorners, -towardsX, -towardsY);
    const localX = dot(pose.cosine, pose.sine, towardsX, towardsY);
    const localY = dot(-pose.sine, pose.cosine, towardsX, towardsY);
    const corner = furthest(polygon, polygon.length / 2, localX, localY);
    setSupport(simplex[count], tile, tileCorner, polygon, corner, pose);
    if (before.some(([one, other]) => one === tileCorner && other === corner)) break;
    count += 1;
  }
  return F(distance(simplex, count) - SKINS) < TOUCHING;
}

function setSupport(vertex, tile, tileCorner, polygon, corner, { x, y, sine, cosine }) {
  const [px, py] = [polygon[2 * corner], polygon[2 * corner + 1]];
  vertex.tileX = tile[2 * tileCorner];
  vertex.tileY = tile[2 * tileCorner + 1];
  vertex.x = F(F(F(cosine * px) - F(sine * py)) + x);
  vertex.y = F(F(F(sine * px) + F(cosine * py)) + y);
  vertex.offX = F(vertex.x - vertex.tileX);
  vertex.offY = F(vertex.y - vertex.tileY);
  vertex.weight = 0;
  vertex.tileCorner = tileCorner;
  vertex.corner = corner;
}

/** b2DistanceProxy::GetSupport. */
function furthest(polygon, corners, towardsX, towardsY) {
  let best = 0;
  let most = dot(polygon[0], polygon[1], towardsX, towardsY);
  for (let corner = 1; corner < corners; corner++) {
    const reach = dot(polygon[2 * corner], polygon[2 * corner + 1], towardsX, towardsY);
    if (reach > most) [best, most] = [corner, reach];
  }
  return best;
}

/** Keep one corner alone. */
function keepOne(simplex, kept) {
  simplex[kept].weight = 1;
  swap(simplex, 0, kept);
  return 1;
}

/** Keep two corners, by their parts of the sum of both. */
function keepTwo(simplex, first, firstPart, second, secondPart) {
  const over = F(1 / F(firstPart + secondPart));
  simplex[first].weight = F(firstPart * over);
  simplex[second].weight = F(secondPart * over);
  return 2;
}

function swap(simplex, one, other) {
  [simplex[one], simplex[other]] = [simplex[other], simplex[one]];
}

/** b2Simplex::Solve2: weights of the point nearest to the origin; how many corners it needs. */
function solveLine(simplex) {
  const [{ offX: x1, offY: y1 }, { offX: x2, offY: y2 }] = simplex;
  const [x, y] = [F(x2 - x1), F(y2 - y1)];
  const second = -dot(x1, y1, x, y);
  if (second <= 0) return keepOne(simplex, 0);
  const first = dot(x2, y2, x, y);
  if (first <= 0) return keepOne(simplex, 1);
  return keepTwo(simplex, 0, first, 1, second);
}

/** b2Simplex::Solve3. Where it needs all three, the origin lies in the triangle. */
function solveTriangle(simplex) {
  const [{ offX: x1, offY: y1 }, { offX: x2, offY: y2 }, { offX: x3, offY: y3 }] = simplex;
  const [x12, y12] = [F(x2 - x1), F(y2 - y1)];
  const [x13, y13] = [F(x3 - x1), F(y3 - y1)];
  const [x23, y23] = [F(x3 - x2), F(y3 - y2)];
  const [d12First, d12Second] = [dot(x2, y2, x12, y12), -dot(x1, y1, x12, y12)];
  const [d13First, d13Second] = [dot(x3, y3, x13, y13), -dot(x1, y1, x13, y13)];
  const [d23First, d23Second] = [dot(x3, y3, x23, y23), -dot(x2, y2, x23, y23)];
  const area = cross(x12, y12, x13, y13);
  const outside1 = F(area * cross(x2, y2, x3, y3)) <= 0; // of the side across from the first
  const outside2 = F(area * cross(x3, y3, x1, y1)) <= 0;
  const outside3 = F(area * cross(x1, y1, x2, y2)) <= 0;
  if (d12Second <= 0 && d13Second <= 0) return keepOne(simplex, 0);
  if (d12First > 0 && d12Second > 0 && outside3) {
    return keepTwo(simplex, 0, d12First, 1, d12Second);
  }
  if (d13First > 0 && d13Second > 0 && outside2) {
    keepTwo(simplex, 0, d13First, 2, d13Second);
    swap(simplex, 1, 2);
    return 2;
  }
  if (d12First <= 0 && d23Second <= 0) return keepOne(simplex, 1);
  if (d13First <= 0 && d23First <= 0) return keepOne(simplex, 2);
  if (d23First > 0 && d23Second > 0 && outside1) {
    keepTwo(simplex, 1, d23First, 2, d23Second);
    swap(simplex, 0, 2);
    return 2;
  }
  return 3;
}

/** b2Simplex::GetSearchDirection: from the simplex towards the origin. */
function direction(simplex, count) {
  const [{ offX: x1, offY: y1 }, { offX: x2, offY: y2 }] = simplex;
  if (count === 1) return [-x1, -y1];
  const [x, y] = [F(x2 - x1), F(y2 - y1)];
  return cross(x, y, -x1, -y1) > 0 ? [-y, x] : [y, -x];
}

/** How far the simplex is from the origin. */
function distance(simplex, count) {
  const [first, second] = simplex;
  let x = F(first.tileX - first.x);
  let y = F(first.tileY - first.y);
  if (count === 2) {
    const [p, q] = [first.weight, second.weight];
    x = F(dot(p, q, first.tileX, second.tileX) - dot(p, q, first.x, second.x));
    y = F(dot(p, q, first.tileY, second.tileY) - dot(p, q, first.y, second.y));
  }
  return F(Math.sqrt(dot(x, y, x, y)));
}

/**
 * A quick answer for a box.
 * @param {Float32Array} sides (4 x 3 a tile) of tiles: the normal outwards, and its offset
 * @param {number} tile which one
 * @param {number} halfWidth of the box
 * @param {number} halfLength of the box
 * @param {Pose} pose of the box
 * @returns {number} 1 it touches the tile, 0 it does not, -1 ask `overlaps`
 */
export function surely(sides, tile, halfWidth, halfLength, { x, y, sine, cosine }) {
  let [nearest, outermost, front, rear] = [-1e9, -1e9, -1e9, -1e9];
  for (let at = 12 * tile; at < 12 * tile + 12; at += 3) {
    const [nx, ny] = [sides[at], sides[at + 1]];
    const off = F(dot(nx, ny, x, y) - sides[at + 2]);
    const across = F(dot(nx, ny, cosine, sine) * halfWidth);
    const along = F(F(F(ny * cosine) - F(nx * sine)) * halfLength);
    outermost = Math.max(outermost, F(F(off - Math.abs(across)) - Math.abs(along)));
    nearest = Math.max(nearest, off);
    front = Math.max(front, F(off + along));
    rear = Math.max(rear, F(off - along));
  }
  if (outermost > F(SKINS + MARGIN)) return 0; // all of it lies outside of one side
  // Its middle or an end lies inside of all.
  if (nearest < -MARGIN || front < -MARGIN || rear < -MARGIN) return 1;
  return -1;
}
