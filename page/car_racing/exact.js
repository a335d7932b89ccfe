/**
 * Sine, cosine and arc tangent of doubles, rounded correctly, so that every browser makes the same
 * track: `Math.sin` and its like may differ from one to the next in the last bit. (C libraries
 * round correctly in all but one or two cases of a thousand, so doubles of a track may differ from
 * gym's in last bits; rounded to float32, as Box2D gets them, they are the same.)
 *
 * Numbers are integers here, in units of 2 ** -128. Read `sineAndCosine`.
 */

const BITS = 128n;
const ONE = 1n << BITS;
const UNITS = 2 ** 128;
const HALF_PI = halfPi();

/** A double as an integer of units. Multiplying by a power of two rounds nothing. */
const toUnits = (value) => BigInt(Math.trunc(value * UNITS));
/** The double nearest to so many units. */
const toDouble = (units) => Number(units) / UNITS;
const times = (one, other) => (one * other) >> BITS;

/** Pi / 2 by Machin's formula: 8 atan(1/5) - 2 atan(1/239). */
function halfPi() {
  const guard = 32n;
  const arcTangentOfOneOver = (value) => {
    let power = (ONE << guard) / value;
    let sum = 0n;
    for (let odd = 1n; power !== 0n; odd += 2n) {
      sum += odd & 2n ? -power / odd : power / odd;
      power /= value * value;
    }
    return sum;
  };
  return (8n * arcTangentOfOneOver(5n) - 2n * arcTangentOfOneOver(239n)) >> guard;
}

/**
 * The Taylor series that begins with `term` and goes on by -square / ((n + 1) (n + 2)).
 * @param {bigint} term x for the sine, 1 for the cosine
 * @param {bigint} power of x in it, 1 or 0
 */
function series(term, power, square) {
  let sum = 0n;
  for (let n = power; term !== 0n; n += 2n) {
    sum += term;
    term = -times(term, square) / ((n + 1n) * (n + 2n));
  }
  return sum;
}

/** Sine and cosine in units, of an angle in units. */
function unitsOfSineAndCosine(angle) {
  const half = HALF_PI >> 1n;
  const shifted = angle + half;
  const quadrant = shifted >= 0n ? shifted / HALF_PI : (shifted + 1n) / HALF_PI - 1n;
  const rest = angle - quadrant * HALF_PI;
  const square = times(rest, rest);
  const sine = series(rest, 1n, square);
  const cosine = series(ONE, 0n, square);
  switch (Number(quadrant & 3n)) {
    case 0:
      return [sine, cosine];
    case 1:
      return [cosine, -sine];
    case 2:
      return [-sine, -cosine];
    default:
      return [-cosine, sine];
  }
}

/**
 * Python's `math.sin` and `math.cos`.
 * @param {number} angle radians, a double
 * @returns {[number, number]} doubles
 */
export function sineAndCosine(angle) {
  const [sine, cosine] = unitsOfSineAndCosine(toUnits(angle));
  return [toDouble(sine), toDouble(cosine)];
}

/**
 * Python's `math.atan2`: what `Math.atan2` says, and the angle that it leaves, which is so small
 * that it equals its own tangent.
 * @param {number} y a double
 * @param {number} x a double
 * @returns {number} radians
 */
export function atan2(y, x) {
  if (y === 0) return Math.atan2(y, x);
  const near = toUnits(Math.atan2(y, x));
  const [sine, cosine] = unitsOfSineAndCosine(near);
  const [across, along] = [toUnits(y), toUnits(x)];
  const rest = times(across, cosine) - times(along, sine);
  const length = times(along, cosine) + times(across, sine);
  return toDouble(near + (rest << BITS) / length);
}
