import assert from "node:assert/strict";
import test from "node:test";
import { bars } from "./histogram.js";

test("bars beyond the limit are apart, empty bins have none, and the tallest ends below the labels", () => {
  const { inside, outside } = bars([1, 0, 4, 0], 2, 1, 40, 50);
  assert.equal(outside, "M0.0 50V32.0h9.40V50z");
  assert.equal(inside, "M20.0 50V14.0h9.40V50z");
});

test("where nothing is cut all bars are inside", () => {
  assert.equal(bars([1, 1], 2, Infinity, 40, 50).outside, "");
});
