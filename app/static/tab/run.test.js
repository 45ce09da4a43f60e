import assert from "node:assert/strict";
import { test } from "node:test";
import { keptOf, Run, rgbOf } from "./run.js";

const LENGTH = 3 * 64 * 64;
const STAGE = {
  size: 64,
  steps: 3,
  guidance: 5,
  threshold: "static",
  w_schedule: "early",
  guidance_rule: "cfg",
  options: {},
};
const numbers = { s: 1, outside: 0.5, largest: Infinity, burnt: 0.1, colourfulness: 0.2, contrast: 0.3 };
const frame = (index) => ({
  index,
  t: 1 - index / 3,
  log_snr: index,
  w: index < 2 ? 5 : 1,
  tracks: [0, 1].map((k) => ({
    pixels: new Uint8ClampedArray(4 * 64 * 64).fill(index),
    numbers,
    raw: new Float32Array(LENGTH).fill(k + index),
    cond: new Float32Array(LENGTH).fill(3),
    uncond: index < 2 ? new Float32Array(LENGTH).fill(1) : null,
  })),
});
const run = (steps) => {
  const request = { prompt: "a ball", seed: 4, stages: [{ ...STAGE, steps }] };
  return new Run({ id: "1", request, rules: ["none", "static"], weights: "w", kept: { percentile: 99.5 }, link: "q" });
};

test("a run's frames make what the player takes", () => {
  const made = run(3);
  for (const index of [0, 1, 2]) made.add(frame(index));
  const { tracks, steps, ...data } = made.recording();
  assert.deepEqual([data.kind, data.planned, data.picked, data.link], ["recording", 3, "static", "q"]);
  assert.deepEqual(
    steps.map(({ step }) => step),
    [1, 2, 3],
  );
  assert.deepEqual(
    tracks.map(({ label }) => label),
    ["none", "static"],
  );
  assert.deepEqual(tracks[1].weights, [5, 5, 1]);
  assert.deepEqual(tracks[1].unguided, [2]);
  assert.deepEqual(tracks[1].numbers.largest, [null, null, null]);
  assert.deepEqual(
    [0, LENGTH, 2 * LENGTH].map((i) => tracks[1].raw[i]),
    [1, 2, 3],
  );
  assert.deepEqual(
    [0, LENGTH, 2 * LENGTH].map((i) => tracks[1].delta[i]),
    [2, 2, 0],
  );
});

test("a live frame has the numbers of all steps so far", () => {
  const made = run(3);
  made.add(frame(0));
  made.add(frame(1));
  const { tracks, largest, note } = made.live("draft");
  assert.deepEqual([note, largest, tracks[0].numbers.burnt], ["draft", 65504, [0.1, 0.1]]);
  assert.equal(tracks[0].histogram.length, 64);
  assert.equal(atob(tracks[0].pixels).length, LENGTH);
});

test("a long run keeps steps that are evenly spread, and the last that it came to", () => {
  assert.deepEqual([...keptOf(5, 3)], [0, 2, 4]);
  const made = run(250);
  for (let index = 0; index < 100; index++) made.add(frame(index));
  const { steps, tracks } = made.recording();
  assert.equal(steps.at(-1).step, 100);
  assert.ok(steps.length < 30 && tracks[0].numbers.s.length === steps.length);
});

test("a picture's alpha is left out", () => assert.equal(atob(rgbOf(Uint8Array.of(65, 66, 67, 255))), "ABC"));
