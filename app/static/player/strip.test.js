import assert from "node:assert/strict";
import test from "node:test";
import { shownAt, spreadSteps } from "./strip.js";

test("nine steps are spread over a run, and a short run shows all", () => {
  assert.deepEqual(spreadSteps(25), [0, 3, 6, 9, 12, 15, 18, 21, 24]);
  assert.deepEqual(spreadSteps(3), [0, 1, 2]);
  assert.deepEqual(spreadSteps(1), [0]);
});

test("the shown step is marked, or the one before it", () => {
  assert.equal(shownAt([0, 3, 6], 0), 0);
  assert.equal(shownAt([0, 3, 6], 5), 1);
  assert.equal(shownAt([0, 3, 6], 9), 2);
});
