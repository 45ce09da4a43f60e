import assert from "node:assert/strict";
import test from "node:test";
import { keyAction, offset, within, zoomed } from "./zoom.js";

test("a picture larger than its room fills it, wherever it is moved", () => {
  assert.deepEqual(
    [0, 0.5, 1].map((share) => offset(share, 100, 400)),
    [0, -150, -300],
  );
  assert.equal(within(0.9, 100, 50), 0.5);
});

test("plus and minus stop at the ends", () => {
  assert.deepEqual([zoomed(0, 1), zoomed(4, 1), zoomed(1, -1), zoomed(0, -1)], [1, 4, 0, 0]);
});

test("arrows move only what is zoomed, and other keys do nothing", () => {
  assert.deepEqual(keyAction("ArrowRight", 2, 200), { move: [30, 0] });
  assert.equal(keyAction("ArrowRight", 0, 200), null);
  assert.deepEqual([keyAction("=", 1, 200), keyAction("0", 4, 200)], [{ zoom: 2 }, { zoom: 0 }]);
  assert.equal(keyAction("a", 1, 200), null);
});
