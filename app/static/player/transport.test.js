import assert from "node:assert/strict";
import test from "node:test";
import { progressOf } from "./transport.js";

test("progress runs from the first step to the last, and a run of one step has none", () => {
  assert.deepEqual(
    [progressOf(0, 4), progressOf(1, 4), progressOf(4, 4), progressOf(0, 0)],
    ["0%", "25%", "100%", "0%"],
  );
});
