import assert from "node:assert/strict";
import test from "node:test";
import { nameUploads } from "./uploads.js";

test("an upload area loses the name that it does not show", () => {
  const removed = [];
  const area = { removeAttribute: (name) => removed.push(name) };
  nameUploads({ querySelectorAll: (query) => (query.startsWith("button[aria-dropeffect]") ? [area] : []) });
  assert.deepEqual(removed, ["aria-label"]);
});
