import assert from "node:assert/strict";
import test from "node:test";
import { clipped, pixelsOf } from "./pictures.js";

test("-1 is black, 1 is white, and values beyond are cut by the screen", () => {
  const values = [-1, 1, 0, 2];
  const bytes = pixelsOf(2, (i) => values[i]);
  assert.deepEqual([...bytes.slice(0, 4)], [0, 0, 0, 255]);
  assert.deepEqual([bytes[4], bytes[8], bytes[12]], [255, 128, 255]);
});

test("a pixel is marked where any of its channels is cut, and may be marked twice", () => {
  const raw = Float32Array.from([0, 2, 3, 0, 0, -3, 0, 0, 0]);
  assert.deepEqual(clipped(raw, 1.5), { low: [2], high: [1, 2] });
});
