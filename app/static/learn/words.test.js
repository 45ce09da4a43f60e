import assert from "node:assert/strict";
import { test } from "node:test";
import { WORDS } from "./words.js";

test("every language says the same things", () => {
  const [first, ...others] = Object.values(WORDS).map((words) => Object.keys(words));
  for (const other of others) assert.deepEqual(other, first);
});
