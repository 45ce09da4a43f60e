import assert from "node:assert/strict";
import { test } from "node:test";
import { unknownWords } from "./known.js";

test("words that training never showed, each once", () => {
  const known = new Set(["a", "red", "ball"]);
  assert.deepEqual(unknownWords("A red Ball, a café's dog_house; dog 2!", known), ["café's", "dog", "house", "2"]);
  assert.deepEqual(unknownWords("anything", null), []);
});
