import assert from "node:assert/strict";
import test from "node:test";
import { closest, ticksOf } from "./curves.js";

test("an axis reaches its largest value, and never less than its room", () => {
  const axis = { floor: 0, room: 0.2, place: (x) => x };
  assert.deepEqual(ticksOf(axis, [0.1]), [0, 0.1, 0.2]);
  assert.deepEqual(ticksOf(axis, [0.8, null]), [0, 0.4, 0.8]);
});

test("the middle of a logarithmic axis is geometric", () => {
  assert.deepEqual(ticksOf({ floor: 1, room: 0.5, place: Math.log }, [9]), [1, 3, 9]);
});

test("a click leads to the closest recorded step", () => {
  assert.equal(closest([1, 5, 9], 6.4), 1);
});
