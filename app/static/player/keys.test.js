import assert from "node:assert/strict";
import test from "node:test";
import { press } from "./keys.js";

const event = (key, more = {}) => {
  const target = { classList: { contains: () => false }, matches: () => false };
  return { key, target, preventDefault: () => {}, ...more };
};

test("arrows move the step, but not with a modifier nor in a field", () => {
  const went = [];
  const player = { data: { kind: "recording" }, at: 4, transport: {}, pause: () => {}, go: (at) => went.push(at) };
  press(player, event("ArrowRight"));
  press(player, event("ArrowLeft", { ctrlKey: true }));
  press(player, event("ArrowLeft", { target: { classList: { contains: () => false }, matches: () => true } }));
  assert.deepEqual(went, [5]);
});
