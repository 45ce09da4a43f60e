import assert from "node:assert/strict";
import test from "node:test";
import { create } from "./main.js";

test("the page is watched from the start", () => {
  const watched = [];
  globalThis.document = {};
  globalThis.MutationObserver = class {
    observe(...how) {
      watched.push(how);
    }
  };
  create();
  assert.deepEqual(watched, [[globalThis.document, { childList: true, subtree: true }]]);
});
