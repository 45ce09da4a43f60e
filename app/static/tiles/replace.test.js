import assert from "node:assert/strict";
import test from "node:test";
import { changes } from "./replace.js";

test("only tiles that changed are replaced, and all where the shape is another", () => {
  const old = { shape: "a", sources: ["1", "2", "3"] };
  assert.deepEqual(changes(old, { shape: "a", sources: ["1", "two", "3"] }), [1]);
  assert.equal(changes(old, { shape: "b", sources: ["1"] }), null);
});
