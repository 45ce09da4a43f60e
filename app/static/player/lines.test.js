import assert from "node:assert/strict";
import test from "node:test";
import { linear, scalesOf, spread, symlog } from "./lines.js";

test("symlog is even within ±1 and joins the logarithm there", () => {
  assert.deepEqual([-1, 0.5, 1, Math.E, -Math.E].map(symlog), [-1, 0.5, 1, 2, -2]);
});

test("the first step is left, the last is right, and pixels lead back to steps", () => {
  const { x, y, left, right, top, bottom, stepAt } = scalesOf(200, 100, 5, [0, 10], linear);
  assert.deepEqual([x(1), x(5), y(0), y(10)], [left, right, bottom, top]);
  assert.deepEqual([stepAt(x(3)), stepAt(-50), stepAt(500)], [3, 1, 5]);
});

test("a run of one step stands in the middle", () => {
  const { x, left, right } = scalesOf(200, 100, 1, [0, 1], linear);
  assert.equal(x(1), (left + right) / 2);
});

test("names of lines that end in one place stand below each other", () => {
  const labels = [{ y: 50 }, { y: 20 }, { y: 21 }];
  assert.deepEqual(
    spread(labels).map((label) => label.y),
    [20, 33, 50],
  );
});
