// Values: a recording's arrays unpacked, the rules, and counts. Joined into one script by player.py.

const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const inflate = async (text) => {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};
const halfTable = () => {
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 31) table[bits] = fraction ? NaN : sign * Infinity;
    else if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return table;
};
let HALF = null;
// Words are differences from step to step, modulo their size; float16 comes as a plane of low and one of high bytes.
const decodeHalf = async (text, length) => {
  HALF ??= halfTable();
  const bytes = await inflate(text), n = bytes.length / 2;
  const words = new Uint16Array(n), values = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    words[i] = (bytes[i] | (bytes[n + i] << 8)) + (i < length ? 0 : words[i - length]);
    values[i] = HALF[words[i]];
  }
  return values;
};
const decodeEighth = async (text, length, scales) => {
  const bytes = await inflate(text), steps = new Int8Array(bytes.length), values = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    steps[i] = bytes[i] + (i < length ? 0 : steps[i - length]);
    values[i] = steps[i] * scales[Math.floor(i / length)] / 127;
  }
  return values;
};
const decode = async (data) => {
  data.length = 3 * data.size * data.size;
  await Promise.all(data.tracks.map(async (track) => {
    const blob = (name) => data.blobs[`${track.label}/${name}`];
    const eighth = (name) => decodeEighth(blob(name), data.length, track.scales[name]);
    track.raw = await decodeHalf(blob("raw"), data.length);
    track.kept = blob("kept") ? await decodeHalf(blob("kept"), data.length) : null;
    track.cond = await eighth("cond");
    track.delta = blob("delta") ? await eighth("delta") : null;
    for (const values of [track.raw, track.kept, track.cond, track.delta]) {
      if (values && values.length !== data.steps.length * data.length) throw new Error(`${track.label}: not whole`);
    }
  }));
  delete data.blobs;
};

// The rules: a second copy of imagen_core/thresholding.py, held to it by tests/test_player.py.
const sorted = (raw) => raw.map(Math.abs).sort();
const quantile = (ranked, q) => {
  const place = q * (ranked.length - 1), below = Math.floor(place);
  const lower = ranked[below], upper = ranked[Math.min(below + 1, ranked.length - 1)];
  return lower + (place - below) * (upper - lower);
};
const RULES = {
  none: () => 1,
  static: () => 1,
  dynamic: (ranked, percentile, cap) => Math.min(Math.max(quantile(ranked, percentile / 100), 1), cap ?? Infinity),
};
const keep = (rule, x, s) => (rule === "none" ? x : Math.max(-s, Math.min(s, x)) / s);
const histogram = (values, m, bins = 64) => {
  const counts = new Uint32Array(bins);
  for (const x of values) counts[Math.min(bins - 1, Math.max(0, Math.floor((x + m) / (2 * m) * bins)))]++;
  return counts;
};
const share = (values, test) => {
  let n = 0;
  for (const x of values) n += test(x);
  return n / values.length;
};

// What a track has at a step. All values of it before the rule:
const rawAt = (data, track, at) => track.raw.subarray(at * data.length, (at + 1) * data.length);
// One value after the rule that the run really had: by the engine's own s, or as the engine sent it.
const valueAt = (data, track, at, i) => {
  const place = at * data.length + i;
  return track.kept ? track.kept[place] : keep(track.rule, track.raw[place], track.numbers.s[at]);
};
// Beyond this a value is cut: by the rule, or at last by the screen. Where only the engine knows the rule, ±1 is but a mark.
const limitAt = (track, at) => (track.kept ? 1 : track.numbers.s[at]);
// The guidance weight, where the recording says it.
const weightAt = (track, at) => track.weights?.[at] ?? (track.w_schedule === "constant" ? track.w : null);
