import assert from "node:assert/strict";
import test from "node:test";
import { frontOf, headOf } from "./head.js";

const TRACKS = ["none", "dynamic", "squash"].map((rule) => ({ label: rule, rule, w: 9 }));
const RUN = { kind: "recording", tracks: TRACKS, steps: [{ step: 1 }, { step: 4 }], planned: 4, request: { seed: 7 } };

test("the chosen track is in front, or the picked one, or dynamic, or the last", () => {
  const front = (tracks, picked, selected) => frontOf({ tracks, picked }, selected).label;
  assert.equal(front(TRACKS, "squash", "none"), "none");
  assert.equal(front(TRACKS, "squash", null), "squash");
  assert.equal(front(TRACKS, "", null), "dynamic");
  assert.equal(front([TRACKS[0], TRACKS[2]], "", "gone"), "squash");
});

test("the heading says what kind of run it is", () => {
  assert.deepEqual(headOf(RUN), { state: "Your run", facts: "w = 9 · seed 7 · 4 steps · same noise, 3 rules" });
  assert.equal(headOf({ ...RUN, title: "Strong" }).state, "Recorded run: Strong");
  assert.equal(headOf({ ...RUN, steps: [{ step: 2 }] }).state, "Stopped run");
  const live = headOf({ ...RUN, kind: "live", note: "12 s" });
  assert.match(headOf({ ...RUN, asked: 8.5 }).facts, /^w = 9, the nearest recorded to 8.5 ·/);
  assert.deepEqual(live, { state: "Sampling", facts: "w = 9 · seed 7 · 4 steps · 12 s" });
});
