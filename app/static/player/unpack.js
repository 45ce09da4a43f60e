// A recording's arrays, unpacked as imagen_core/records/packing.py packed them.

import { DAMAGED, OUTDATED, waiting } from "./payload.js";

export const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

const inflate = async (text) => {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

/** The value of a float16 by its bits. */
export const half = (bits) => {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
};

// A table, since a run has millions of values and only 65536 different ones.
let HALVES = null;

/** Float16 from a plane of low bytes and a plane of high bytes; `length` values a step. */
export const unpackHalves = async (text, length) => {
  HALVES ??= Float32Array.from({ length: 65536 }, (_, bits) => half(bits));
  const bytes = await inflate(text);
  const n = bytes.length / 2;
  const words = new Uint16Array(n);
  const values = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    words[i] = (bytes[i] | (bytes[n + i] << 8)) + (i < length ? 0 : words[i - length]);
    values[i] = HALVES[words[i]];
  }
  return values;
};

/** Int8 in units of each step's scale / 127; `length` values a step. */
export const unpackEighths = async (text, length, scales) => {
  const bytes = await inflate(text);
  const words = new Int8Array(bytes.length);
  const values = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    words[i] = bytes[i] + (i < length ? 0 : words[i - length]);
    values[i] = (words[i] * scales[Math.floor(i / length)]) / 127;
  }
  return values;
};

const unpackTrack = async (track, blobs, length, steps) => {
  const blob = (name) => blobs[`${track.label}/${name}`];
  const arrays = {
    raw: await unpackHalves(blob("raw"), length),
    kept: blob("kept") ? await unpackHalves(blob("kept"), length) : null,
    cond: blob("cond") ? await unpackEighths(blob("cond"), length, track.scales.cond) : null,
    delta: blob("delta") ? await unpackEighths(blob("delta"), length, track.scales.delta) : null,
  };
  for (const [name, values] of Object.entries(arrays)) {
    if (values && values.length !== steps * length) throw new Error(`${track.label}/${name}: is not whole`);
  }
  return { ...track, ...arrays };
};

/** A recording with its arrays, Float32Array [steps × 3 × size × size]; a note in its place where it is damaged. */
export const unpack = async ({ blobs, ...data }) => {
  const length = 3 * data.size * data.size;
  try {
    const tracks = data.tracks.map((track) => unpackTrack(track, blobs, length, data.steps.length));
    return { ...data, length, tracks: await Promise.all(tracks) };
  } catch (error) {
    console.warn("player:", error.message);
    return waiting(globalThis.DecompressionStream ? DAMAGED : OUTDATED);
  }
};
