import assert from "node:assert/strict";
import { test } from "node:test";
import { deedOf, writes } from "./projector.js";

test("one key enters and leaves", () => {
  assert.equal(deedOf("p", false), "toggle");
  assert.equal(deedOf("p", true), "toggle");
  assert.equal(deedOf("Escape", true), "leave");
});

test("other keys act only in projector mode", () => {
  for (const key of ["Escape", " ", "ArrowLeft", "PageDown"]) assert.equal(deedOf(key, false), null);
  assert.deepEqual(
    ["ArrowLeft", "ArrowRight", "PageUp", "PageDown", " ", "x"].map((key) => deedOf(key, true)),
    [-1, 1, -1, 1, "play", null],
  );
});

test("a key that writes text is left alone", () => {
  const inside = (found) => ({ closest: () => found });
  assert.equal(writes(inside({})), true);
  assert.equal(writes(inside(null)), false);
  assert.equal(writes(null), false);
});
