import assert from "node:assert/strict";
import test from "node:test";
import { gainOf, partsAt } from "./parts.js";

const data = { length: 3 };
const track = {
  raw: Float32Array.from([0, 0, 0, 3, 3, 3]),
  cond: Float32Array.from([0, 0, 0, 1, 1, 1]),
  delta: Float32Array.from([0, 0, 0, 0.5, 0.5, 0.5]),
  w: 5,
  w_schedule: "constant",
  guidance_rule: "cfg",
};

test("guided = without text + w (with text − without text)", () => {
  const [cond, uncond, difference, guided] = partsAt(data, track, 1).map((part) => part.value(0));
  assert.deepEqual([cond, uncond, difference, guided], [1, 0.5, 0.5, 3]);
  assert.equal(uncond + track.w * difference, guided);
});

test("a difference that is missing says why", () => {
  const titles = (more) => partsAt(data, { ...track, delta: null, ...more }, 0).map((part) => part.title);
  assert.deepEqual(titles({ w: 1 }).slice(1, 3), [
    "without text: not evaluated at w = 1",
    "difference: not evaluated at w = 1",
  ]);
  assert.equal(titles({ w: 9, guidance_rule: "apg" })[3], "guided by apg, w = 9");
  assert.equal(titles({ w: 9 })[1], "without text: not in this recording");
  assert.equal(partsAt(data, { ...track, unguided: [1] }, 1)[2].value, null);
});

test("a faint difference is enlarged by a power of 2", () => {
  assert.deepEqual([gainOf([0.5]), gainOf([0.01, -0.01])], [1, 8]);
});
