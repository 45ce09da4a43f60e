import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "./main.js";

globalThis.window = globalThis;
globalThis.matchMedia = () => ({ matches: true, addEventListener: () => {} });
globalThis.document = { documentElement: { classList: { toggle: () => {} } } };

test("a link's query says what a player begins with, and hostile parts of it do not", () => {
  const { beginOf } = create();
  const begin = (query) => beginOf(new URLSearchParams(query));
  assert.deepEqual(begin("run=off&step=2&view=mask&rule=none&pixel=3,4"), {
    step: 2,
    view: "mask",
    rule: "none",
    pixel: [3, 4],
  });
  assert.equal(begin("run=off&step=-2&pixel=3,x"), null);
});
