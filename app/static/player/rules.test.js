import assert from "node:assert/strict";
import test from "node:test";
import { keep, RULES, sorted } from "./rules.js";

const VALUES = Float32Array.from([-4, 0.5, 2, -1, 3]);

test("dynamic divides by the percentile of |x|, by 1 at least and by the cap at most", () => {
  const ranked = sorted(VALUES);
  assert.deepEqual([...ranked], [0.5, 1, 2, 3, 4]);
  assert.equal(RULES.dynamic(ranked, 50, null), 2);
  assert.equal(RULES.dynamic(ranked, 87.5, null), 3.5);
  assert.equal(RULES.dynamic(ranked, 0, null), 1);
  assert.equal(RULES.dynamic(ranked, 100, 2.5), 2.5);
});

test("none leaves a value, static cuts it, dynamic cuts and divides", () => {
  assert.deepEqual(
    [keep("none", -4, 1), keep("static", -4, 1), keep("dynamic", -4, 2), keep("dynamic", 1, 2)],
    [-4, -1, -1, 0.5],
  );
});
