import assert from "node:assert/strict";
import test from "node:test";
import { largestPixel, pixelValues } from "./probe.js";

test("the pixel that lies furthest outside, in any channel", () => {
  const raw = new Float32Array(12);
  raw[4 + 3] = -5;
  raw[1] = 2;
  assert.deepEqual(largestPixel(raw, 2), [1, 1]);
});

test("a pixel's values by channel, at all steps", () => {
  const data = { size: 2, length: 12, steps: [{}, {}] };
  const raw = Float32Array.from({ length: 24 }, (_, i) => i);
  const track = { rule: "static", raw, numbers: { s: [1, 1] } };
  assert.deepEqual(pixelValues(data, track, [1, 0])[2], { raw: [9, 21], kept: [1, 1] });
});
