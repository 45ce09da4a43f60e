import assert from "node:assert/strict";
import test from "node:test";
import { histogram, limitAt, rawAt, share, valueAt, weightAt } from "./values.js";

const data = { length: 2 };
const track = {
  rule: "dynamic",
  raw: Float32Array.from([0, 1, 4, -2]),
  numbers: { s: [1, 2] },
  w: 5,
  w_schedule: "constant",
};

test("the ends of a histogram hold what lies on or beyond them", () => {
  assert.deepEqual([...histogram([-9, -2, -0.1, 0.1, 2, 9], 2, 4)], [2, 1, 1, 2]);
});

test("a share counts what passes a test", () => {
  assert.equal(
    share([1, -3, 2, 0], (x) => Math.abs(x) > 1),
    0.5,
  );
});

test("a track's values at a step, before and after the rule", () => {
  assert.deepEqual([...rawAt(data, track, 1)], [4, -2]);
  assert.deepEqual([valueAt(data, track, 1, 0), valueAt(data, track, 1, 1), limitAt(track, 1)], [1, -1, 2]);
});

test("of a rule that only the engine knows, the engine's values are shown", () => {
  const squash = { ...track, rule: "squash", kept: Float32Array.from([0, 0.5, 0.75, -0.5]) };
  assert.deepEqual([valueAt(data, squash, 1, 0), limitAt(squash, 1)], [0.75, 1]);
});

test("the weight of a step is listed, or constant, or unknown", () => {
  assert.deepEqual([weightAt(track, 1), weightAt({ ...track, weights: [1, 9] }, 1)], [5, 9]);
  assert.equal(weightAt({ ...track, w_schedule: "cosine" }, 1), null);
});
