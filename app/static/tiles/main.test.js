import assert from "node:assert/strict";
import test from "node:test";
import { create } from "./main.js";

test("a document gets the tiles", () => {
  assert.deepEqual(Object.keys(create()), ["mount"]);
});
