/**
 * NumPy's random numbers for a seed, as gym's `np_random` gives them: `SeedSequence` stirs the
 * seed, PCG64 goes on from there. Read `Generator`.
 */

const MASK_32 = 0xffffffffn;
const MASK_64 = (1n << 64n) - 1n;
const MASK_128 = (1n << 128n) - 1n;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n; // PCG64's
const POOL = 4; // words of 32 bits

/** The low 32 bits of an integer. */
const word = (value) => value >>> 0;

/**
 * SeedSequence's hash of single words. Each call changes its constant.
 * @param {number} constant what to begin with
 * @param {number} factor by which it grows
 * @returns {(value: number) => number} of a word, a word
 */
function makeHash(constant, factor) {
  return (value) => {
    const stirred = value ^ constant;
    constant = word(Math.imul(constant, factor));
    const product = word(Math.imul(stirred, constant));
    return word(product ^ (product >>> 16));
  };
}

/** SeedSequence's mix of two words. */
function mix(one, other) {
  const difference = word(Math.imul(0xca01f9dd, one) - Math.imul(0x4973f715, other));
  return word(difference ^ (difference >>> 16));
}

/** A seed's words of 32 bits, the lowest first. */
function wordsOf(seed) {
  const words = [];
  let rest = BigInt(seed);
  do {
    words.push(Number(rest & MASK_32));
    rest >>= 32n;
  } while (rest > 0n);
  return words;
}

/**
 * `SeedSequence(seed).generate_state(4, np.uint64)`.
 * @param {number | bigint} seed an integer, 0 or more
 * @returns {bigint[]} four words of 64 bits
 */
export function seedSequence(seed) {
  const words = wordsOf(seed);
  const hash = makeHash(0x43b0d7e5, 0x931e8875);
  const pool = Array.from({ length: POOL }, (_, index) => hash(words[index] ?? 0));
  for (let from = 0; from < POOL; from++) {
    for (let to = 0; to < POOL; to++) {
      if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
    }
  }
  for (const further of words.slice(POOL)) {
    for (let to = 0; to < POOL; to++) pool[to] = mix(pool[to], hash(further));
  }
  const spread = makeHash(0x8b51f9dd, 0x58f38ded);
  const half = () => Array.from({ length: POOL }, (_, index) => BigInt(spread(pool[index])));
  const state = [...half(), ...half()];
  return [0, 2, 4, 6].map((at) => state[at] | (state[at + 1] << 32n));
}

/** `numpy.random.Generator(PCG64(seed))`, as far as tracks need it. */
export class Generator {
  #state;
  #increment;

  /** @param {number | bigint} seed an integer, 0 or more */
  constructor(seed) {
    const [high, low, sequenceHigh, sequenceLow] = seedSequence(seed);
    this.#increment = ((((sequenceHigh << 64n) | sequenceLow) << 1n) | 1n) & MASK_128;
    this.#state = (this.#increment + ((high << 64n) | low)) & MASK_128;
    this.#advance();
  }

  #advance() {
    this.#state = (this.#state * MULTIPLIER + this.#increment) & MASK_128;
  }

  /** @returns {number} the next double, from 0 to below 1 */
  random() {
    this.#advance();
    const folded = (this.#state >> 64n) ^ (this.#state & MASK_64);
    const turn = this.#state >> 122n;
    const turned = ((folded >> turn) | (folded << (64n - turn))) & MASK_64;
    return Number(turned >> 11n) / 2 ** 53;
  }

  /** @returns {number} the next double from `low` to below `high` */
  uniform(low, high) {
    return low + (high - low) * this.random();
  }
}
