import assert from "node:assert/strict";
import test from "node:test";
import { asks, own, restored } from "./memory.js";

test("a link asks for something, a theme does not", () => {
  assert.deepEqual(["?__theme=dark&hide=seed", "", "?seed=4"].map(asks), [false, false, true]);
});

test("values are restored only where they fit the controls", () => {
  const now = ["a ball", 5, true];
  assert.deepEqual(restored('["a cube", 12, false]', now), ["a cube", 12, false]);
  for (const other of [null, "", "{}", "[1, 2]", '["a cube", "12", false]', '["a cube", 12]']) {
    assert.equal(restored(other, now), now, other);
  }
});

test("each page of a server remembers its own", () => {
  assert.deepEqual(
    ["/", "/emoji", "/emoji/", "/a/emoji"].map((path) => own("last", path)),
    ["last", "last:emoji", "last:emoji", "last:emoji"],
  );
});
