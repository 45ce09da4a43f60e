// The engine's noise (imagen_core/diffusion/samplers.py, unit_noise): what torch draws on a processor from a seed.

import { sha256 } from "./sha256.js";

const SIZE = 624;
const AHEAD = 397;

/** The 32-bit draws of mt19937 (Matsumoto & Nishimura 1998), as a function. */
const twister = (seed) => {
  const state = new Uint32Array(SIZE);
  state[0] = seed;
  for (let i = 1; i < SIZE; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let at = SIZE;
  const renew = () => {
    for (let i = 0; i < SIZE; i++) {
      const joined = (state[i] & 0x80000000) | (state[(i + 1) % SIZE] & 0x7fffffff);
      state[i] = state[(i + AHEAD) % SIZE] ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
    }
    at = 0;
  };
  return () => {
    if (at === SIZE) renew();
    let x = state[at++];
    x ^= x >>> 11;
    x ^= (x << 7) & 0x9d2c5680;
    x ^= (x << 15) & 0xefc60000;
    return (x ^ (x >>> 18)) >>> 0;
  };
};

// torch turns uniform numbers into normal ones in blocks of this many.
const BLOCK = 16;

const transform = (values, start) => {
  for (let i = start; i < start + BLOCK / 2; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - values[i]));
    const angle = 2 * Math.PI * values[i + BLOCK / 2];
    values[i] = radius * Math.cos(angle);
    values[i + BLOCK / 2] = radius * Math.sin(angle);
  }
};

/** torch.randn of a generator with this 32-bit seed: `length` values, at least 16. */
export const normal = (seed, length) => {
  if (length < BLOCK) throw new Error(`noise: needs at least ${BLOCK} values`);
  const draw = twister(seed);
  const uniform = () => (draw() & 0xffffff) / 2 ** 24;
  const values = Float32Array.from({ length }, uniform);
  for (let i = 0; i + BLOCK <= length; i += BLOCK) transform(values, i);
  // The last block of an uneven length is drawn anew, and overlaps the one before.
  if (length % BLOCK) {
    for (let i = length - BLOCK; i < length; i++) values[i] = uniform();
    transform(values, length - BLOCK);
  }
  return values;
};

/** The unit noise of a picture's seed for one purpose, such as "base64" or "sr256/augmentation". */
export const unitNoise = (seed, stream, length) => {
  const digest = new DataView(sha256(new TextEncoder().encode(`${seed}/${stream}`)).buffer);
  // The engine's seed is the first 64 bits without the last; torch takes the low half of that.
  return normal(((digest.getUint32(0) << 31) | (digest.getUint32(4) >>> 1)) >>> 0, length);
};
