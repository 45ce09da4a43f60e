import assert from "node:assert/strict";
import { test } from "node:test";
import { piecesOf } from "./text.js";

test("bold, italic, code and plain text", () => {
  assert.deepEqual(piecesOf("a **b** *c* `d`"), [
    { tag: null, text: "a " },
    { tag: "strong", text: "b" },
    { tag: null, text: " " },
    { tag: "em", text: "c" },
    { tag: null, text: " " },
    { tag: "code", text: "d" },
  ]);
});

test("a lone asterisk and markup of other kinds stay text", () => {
  assert.deepEqual(piecesOf("2 * 3 <b>x</b>"), [{ tag: null, text: "2 * 3 <b>x</b>" }]);
  assert.deepEqual(piecesOf(""), []);
});
