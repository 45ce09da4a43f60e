import assert from "node:assert/strict";
import test from "node:test";
import { legend, ruleNote, sentence, tellingStep } from "./words.js";

const track = (rule, s, outside, burnt) => ({ label: rule, rule, numbers: { s, outside, burnt } });
const RUN = {
  kind: "recording",
  planned: 2,
  tracks: [
    track("none", [1, 1], [0.25, 0.2], [0.3, 0.14]),
    track("static", [1, 1], [0.12, 0.1], [0.1, 0.044]),
    track("dynamic", [9.3, 1], [0.11, 0.02], [0.01, 0.001]),
  ],
};

test("what each rule does at a step", () => {
  const notes = (at) => RUN.tracks.map((one) => ruleNote(one, at, 0.005));
  assert.deepEqual(notes(0), ["leaves 25 % outside ±1", "cuts 12 % to ±1", "divides by s = 9.30, cuts 0.5 %"]);
  assert.deepEqual(notes(1)[2], "s = 1: cuts 2.0 % to ±1");
  assert.equal(ruleNote(track("squash", [1], [0.5]), 0), "50 % were outside ±1");
});

test("a step on the way, and the last one", () => {
  const first =
    "Step 1 of 2. 25 % of values lie outside ±1 without a rule. Static cuts 12 %. Dynamic divides by s = 9.30.";
  assert.equal(sentence(RUN, 0, 1), first);
  const burnt = "Burnt values at the end: none 14 %, static 4.4 %, dynamic 0.1 %.";
  assert.equal(sentence(RUN, 1, 2), `Step 2 of 2. ${burnt}`);
});

test("the telling step is where the shares of burnt values lie furthest apart", () => {
  assert.equal(tellingStep(RUN), 0);
  const later = RUN.tracks.map((one, i) => track(one.rule, [1, 1, 1], [0, 0, 0], [0, 0.1 * i, 0.3 * i]));
  assert.equal(tellingStep({ tracks: later }), 2);
  assert.equal(tellingStep({ tracks: [RUN.tracks[0], RUN.tracks[0]] }), null);
  const words = "Step 1 of 2, where the rules differ most. Burnt values: none 30 %, static 10 %, dynamic 1.0 %.";
  assert.equal(sentence({ ...RUN, telling: 0 }, 0, 1), words);
});

test("a live run has no last word", () => {
  assert.match(sentence({ ...RUN, kind: "live" }, 1, 2), /Dynamic has s = 1 and cuts 2.0 %\.$/);
});

test("nothing outside, and nothing burnt", () => {
  const quiet = { ...RUN, tracks: [track("none", [1, 1], [0, 0], [0, 0])] };
  assert.equal(sentence(quiet, 0, 1), "Step 1 of 2. Every value lies within ±1, so no rule has anything to do.");
  assert.equal(sentence(quiet, 1, 2), "Step 2 of 2. No value is burnt at the end.");
});

test("the view of guidance gives cfg's formula, and of other rules the name", () => {
  const line = (more) => legend("parts", { label: "none", w: 9, w_schedule: "constant", ...more }, 0)[0];
  assert.match(
    line({ guidance_rule: "cfg" }),
    /cfg = without text \+ w \(with text − without text\), w = 9 at every step/,
  );
  assert.match(line({ guidance_rule: "apg" }), /: apg, w = 9 at every step\./);
  assert.match(
    line({ guidance_rule: "apg", w_schedule: "cosine", weights: [2.716] }),
    /: apg, schedule cosine, w = 2\.72 at this step\./,
  );
});
