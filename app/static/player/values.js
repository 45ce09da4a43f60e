// What a track holds at a step, and counts of values.

import { keep } from "./rules.js";

/** Counts of values over [-most, most] in equal bins. */
export const histogram = (values, most, bins = 64) => {
  const counts = new Uint32Array(bins);
  for (const x of values) counts[Math.min(bins - 1, Math.max(0, Math.floor(((x + most) / (2 * most)) * bins)))]++;
  return counts;
};

/** The mean of test(x) over values: a share where the test is true or false. */
export const share = (values, test) => {
  let sum = 0;
  for (const x of values) sum += test(x);
  return sum / values.length;
};

/** All values of a track at a step, before the rule. */
export const rawAt = (data, track, at) => track.raw.subarray(at * data.length, (at + 1) * data.length);

/** One value after the rule of the run: by the engine's own s, or as the engine sent it. */
export const valueAt = (data, track, at, i) => {
  const place = at * data.length + i;
  return track.kept ? track.kept[place] : keep(track.rule, track.raw[place], track.numbers.s[at]);
};

/** Values beyond this are cut. Where only the engine knows the rule, ±1 is a mark and no more. */
export const limitAt = (track, at) => (track.kept ? 1 : track.numbers.s[at]);

/** The guidance weight at a step; null where the recording does not hold it. */
export const weightAt = (track, at) => track.weights?.[at] ?? (track.w_schedule === "constant" ? track.w : null);
