import assert from "node:assert/strict";
import test from "node:test";
import { percentAcross } from "./wipe.js";

test("a pointer beyond the picture stands at its edge", () => {
  const frame = { left: 10, width: 200 };
  assert.deepEqual(
    [60, 0, 500].map((x) => percentAcross(x, frame)),
    [25, 0, 100],
  );
});
