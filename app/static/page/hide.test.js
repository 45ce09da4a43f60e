import assert from "node:assert/strict";
import test from "node:test";
import { hiding } from "./hide.js";

test("known parts are hidden, and nothing else reaches the style", () => {
  assert.equal(hiding("?hide=seed,cascade"), "#seed, #dice, #tab-cascade-button { display: none !important; }");
  assert.equal(hiding("?hide=*{},constructor,body"), "");
  assert.equal(hiding("?seed=4"), "");
});
