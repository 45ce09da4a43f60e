import assert from "node:assert/strict";
import test from "node:test";
import { number, percent, tenths } from "./numbers.js";

test("a share keeps one digit below ten percent, and says when it is tiny but not zero", () => {
  assert.deepEqual([0, 0.0004, 0.001, 0.044, 0.0994, 0.0995, 0.14, 1].map(percent), [
    "0 %",
    "< 0.1 %",
    "0.1 %",
    "4.4 %",
    "9.9 %",
    "10 %",
    "14 %",
    "100 %",
  ]);
});

test("a negative number has a true minus, and null is infinity", () => {
  assert.deepEqual([number(-1.234), number(1.25, 3), number(null)], ["−1.23", "1.250", "∞"]);
});

test("tenths show more digits only where there are more", () => {
  assert.deepEqual([99.5, 95, 1.25].map(tenths), ["99.5", "95.0", "1.25"]);
});
