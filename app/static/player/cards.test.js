import assert from "node:assert/strict";
import test from "node:test";
import { differenceOf, maskNote } from "./cards.js";

test("the mask counts what lies above and below the limit", () => {
  const raw = Float32Array.from([2, 0, 0, -2, -3, 0, 0, 0]);
  assert.equal(maskNote(raw, 1), "13 % above 1, 25 % below −1");
  assert.equal(maskNote(raw, 2.5), "0 % above s, 13 % below −s");
});

test("a difference is between pictures as a screen shows them", () => {
  const data = { length: 3 };
  const track = (...raw) => ({ rule: "none", raw: Float32Array.from(raw), numbers: { s: [1] } });
  const difference = differenceOf(data, track(5, 1, -1), track(1, 0.5, 1), 0);
  assert.deepEqual([0, 1, 2].map(difference), [0, 0.5, -1]);
});
