import assert from "node:assert/strict";
import test from "node:test";
import { outcome, settingsOf } from "./microscope.js";
import { sorted } from "./rules.js";

const RAW = Float32Array.from([0, 0.995, 2, -4]);

test("s, the share beyond it, and the share burnt after the rule", () => {
  const under = (rule) => outcome(RAW, sorted(RAW), { rule, percentile: 100, cap: 2 }, 0.99);
  assert.deepEqual(under("none"), { s: 1, cut: 0.5, burnt: 0.75 });
  assert.deepEqual(under("dynamic"), { s: 2, cut: 0.25, burnt: 0.5 });
});

test("it begins with the rule in front, and with dynamic where the player does not know that rule", () => {
  const tracks = [
    { rule: "static", percentile: 90, cap: null },
    { rule: "dynamic", percentile: 95, cap: 1.25 },
  ];
  assert.deepEqual(settingsOf(tracks, tracks[0]), { rule: "static", percentile: 95, cap: 1.25 });
  const squash = { rule: "squash", percentile: 90, cap: null };
  assert.deepEqual(settingsOf([squash], squash), { rule: "dynamic", percentile: 90, cap: null });
});
