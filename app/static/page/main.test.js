import assert from "node:assert/strict";
import test from "node:test";
import { create } from "./main.js";

test("the page is watched from the start, and what the address names is hidden", () => {
  const watched = [];
  const added = [];
  globalThis.location = { search: "?hide=seed" };
  globalThis.document = { createElement: () => ({}), head: { append: (style) => added.push(style.textContent) } };
  globalThis.MutationObserver = class {
    observe(...how) {
      watched.push(how);
    }
  };
  create();
  assert.deepEqual(watched, [[globalThis.document, { childList: true, subtree: true }]]);
  assert.deepEqual(added, ["#seed, #dice { display: none !important; }"]);
});
