import assert from "node:assert/strict";
import test from "node:test";
import { create } from "./main.js";

test("a document gets the player and the rules", () => {
  assert.deepEqual(Object.keys(create({})), ["mount", "prepare", "stateOf", "RULES", "keep", "sorted", "histogram"]);
});
