/**
 * Sine and cosine of a float32 as the GNU C library computes them, after
 * `worldmodels/car_racing/trigonometry.py`.
 *
 * Box2D calls `sinf` and `cosf` for the rotation of every body at every step, so a last bit of
 * theirs that differs is a drive that differs. This follows glibc 2.28 and later: reduction by
 * multiples of pi / 2 and polynomials, in doubles. Read `sincos`.
 */

const F = Math.fround;
const INVERSE_HALF_PI = (2 / Math.PI) * 2 ** 24;
// Pi / 2 in two parts: n times the first is exact, so that the rest is rounded once.
const HALF_PI_HIGH = 1.570796325802803;
const HALF_PI_LOW = Math.PI / 2 - HALF_PI_HIGH;
const COSINE = [
  -0.49999999725108224, 0.041666623324344516, -0.001388676379437604, 2.4390450703564542e-5,
];
const SINE = [-0.16666654943701084, 0.008332178146138854, -0.00019517298981385725];
const PI_2_63 = Math.PI / 2 ** 63;
// Bits of 4 / pi, each entry eight bits further than the one before.
const INVERSE_PI = [
  0xa2n, 0xa2f9n, 0xa2f983n, 0xa2f9836en, 0xf9836e4en, 0x836e4e44n, 0x6e4e4415n, 0x4e441529n,
  0x441529fcn, 0x1529fc27n, 0x29fc2757n, 0xfc2757d1n, 0x2757d1f5n, 0x57d1f534n, 0xd1f534ddn,
  0xf534ddc0n, 0x34ddc0dbn, 0xddc0db62n, 0xc0db6295n, 0xdb629599n, 0x6295993cn, 0x95993c43n,
  0x993c4390n, 0x3c439041n,
];
const MASK_32 = 0xffffffffn;
const TINY = 2 ** -12;
const SMALL = 0.75; // below pi / 4 by glibc's comparison of twelve bits
const LARGE = 120;

/**
 * @param {number} angle radians, a float32
 * @returns {[number, number]} sine and cosine, both float32
 */
export function sincos(angle) {
  const size = Math.abs(angle);
  if (size < TINY) return [angle, 1];
  let x = angle;
  let quadrant = 0;
  if (size >= LARGE) {
    [x, quadrant] = reduceLarge(angle);
  } else if (size >= SMALL) {
    quadrant = (Math.trunc(x * INVERSE_HALF_PI) + 0x800000) >> 24;
    x = x - quadrant * HALF_PI_HIGH - quadrant * HALF_PI_LOW;
  }
  const turned = size >= LARGE && angle < 0 ? quadrant + 1 : quadrant;
  const x2 = x * x;
  if ((turned + 1) & 2) x = -x;
  const x4 = x2 * x2;
  const x3 = x2 * x;
  const sine = x + x3 * SINE[0] + x3 * x2 * (SINE[1] + x2 * SINE[2]);
  let cosine = 1 + x2 * COSINE[0] + x4 * COSINE[1] + x4 * x2 * (COSINE[2] + x2 * COSINE[3]);
  if (turned & 2) cosine = -cosine;
  return quadrant & 1 ? [F(cosine), F(sine)] : [F(sine), F(cosine)];
}

/** glibc's `reduce_large`: the rest of |angle| over pi / 2, and how often that goes into it. */
function reduceLarge(angle) {
  let exponent = 150;
  let mantissa = Math.abs(angle);
  for (; mantissa >= 2 ** 24; exponent++) mantissa *= 0.5;
  for (; mantissa < 2 ** 23; exponent--) mantissa *= 2;
  const at = (exponent >> 3) & 15;
  const x = (BigInt(mantissa) << BigInt(exponent & 7)) & MASK_32;
  const high = (x * INVERSE_PI[at]) & MASK_32;
  const low = x * INVERSE_PI[at + 8];
  const rest = BigInt.asUintN(64, ((low >> 32n) | (high << 32n)) + x * INVERSE_PI[at + 4]);
  const quadrant = BigInt.asUintN(64, rest + (1n << 61n)) >> 62n;
  return [Number(BigInt.asIntN(64, rest - (quadrant << 62n))) * PI_2_63, Number(quadrant)];
}
