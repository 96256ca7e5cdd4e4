/**
 * NumPy's random numbers, so that a key drawn here can be drawn again in Python: key number i of a seed
 * is the i-th guess of ap.attacks.input_only(…, seed=seed). No owner's key is among them: an owner's seed
 * is used as it is, a guess's is mixed with its number.
 *
 * SeedSequence: NumPy's numpy/random/bit_generator.pyx. PCG64 (XSL-RR): O'Neill (2014).
 */

const POOL = 4;

/** The hash of NumPy's SeedSequence; each call changes its constant. */
function hasher(constant, multiplier) {
  return (value) => {
    value ^= constant;
    constant = Math.imul(constant, multiplier) >>> 0;
    value = Math.imul(value, constant);
    return (value ^ (value >>> 16)) >>> 0;
  };
}

function mix(x, y) {
  const result = (Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) >>> 0;
  return (result ^ (result >>> 16)) >>> 0;
}

/**
 * The first 256 bits of SeedSequence(seed).spawn(draw + 1)[draw], as 32-bit words.
 * @param {number} seed 0 … 2³² − 1
 * @param {number} draw 0 … 2³² − 1
 */
function seedWords(seed, draw) {
  const entropy = [seed, 0, 0, 0, draw]; // a child's seed is filled up to the pool's size, then its number follows
  const hash = hasher(0x43b0d7e5, 0x931e8875);
  const pool = entropy.slice(0, POOL).map(hash);
  for (let from = 0; from < POOL; from++) {
    for (let to = 0; to < POOL; to++) {
      if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
    }
  }
  for (let to = 0; to < POOL; to++) pool[to] = mix(pool[to], hash(entropy[POOL]));
  const output = hasher(0x8b51f9dd, 0x58f38ded);
  return Array.from({ length: 8 }, (_, i) => output(pool[i % POOL]));
}

/** A function that returns the next number of np.random.default_rng(child).random(): uniform in [0, 1). */
export function uniform(seed, draw) {
  const words = seedWords(seed, draw).map(BigInt);
  const wide = (i) => (words[i + 1] << 96n) | (words[i] << 64n) | (words[i + 3] << 32n) | words[i + 2];
  const cut = (value) => BigInt.asUintN(128, value);
  const increment = cut((wide(4) << 1n) | 1n);
  const step = (state) => cut(state * 0x2360ed051fc65da44385df649fccf645n + increment);
  let state = step(cut(increment + wide(0)));
  return () => {
    state = step(state);
    const folded = BigInt.asUintN(64, (state >> 64n) ^ state);
    const turn = state >> 122n;
    const turned = BigInt.asUintN(64, (folded >> turn) | (folded << (64n - turn)));
    return Number(turned >> 11n) / 2 ** 53;
  };
}

/**
 * The signs of a random key: −1, 0 or 1 with probability p, 1 − 2p, p. σ times this is the key.
 * @returns {Int8Array} of the given length
 */
export function drawSigns(length, p, seed, draw) {
  const next = uniform(seed, draw);
  return Int8Array.from({ length }, () => {
    const u = next();
    return (u >= 1 - p) - (u < p);
  });
}

/** Normal noise of this standard deviation, by the formula of Box and Muller, from the same numbers. */
export function drawNoise(length, deviation, seed, draw) {
  const next = uniform(seed, draw);
  return Float32Array.from({ length }, () => deviation * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()));
}

/** The numbers below count, in random order. next: a function that returns the next uniform number. */
export function shuffled(count, next) {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
