import assert from "node:assert/strict";
import { test } from "node:test";
import { askedOf, first, queryOf, Refusal, requestOf, runIn } from "./ask.js";

const stage = (size, more) => ({
  size,
  steps: 25,
  guidance: 5,
  sampler: "dpmpp_2m",
  times: [],
  w_schedule: "early",
  threshold: "dynamic",
  aug_level: null,
  options: {},
  ...more,
});
const GIVEN = {
  format: 1,
  sizes: [64, 256],
  fields: ["steps", "guidance", "sampler", "times", "w_schedule", "threshold", "aug_level"],
  defaults: { 64: stage(64), 256: stage(256, { steps: 8, aug_level: 0.1, w_schedule: "constant" }) },
  choices: {
    sampler: { dpmpp_2m: { options: {} }, ddim: { options: {} } },
    w_schedule: { constant: { options: {} }, early: { options: { until: -2 } } },
    threshold: { none: { options: {} }, dynamic: { options: { percentile: 99.5 } } },
  },
  kept: { percentile: 99.5 },
  options: ["until", "percentile", "eta"],
  manifest: { options: { until: -2, percentile: 99.5 } },
  link: { most: 300, shown: ["run", "lesson"] },
  opening: { format: 1, prompt: "a ball", seed: 1, count: 1, stages: [stage(64)] },
};
const fine = () => null;
const follow = (query) => runIn(query, GIVEN, fine);

test("a link restores the run that it was made of", () => {
  const asked = first(GIVEN);
  asked.stages[64].options.until = -4;
  asked.stages[64].times = [1, 0.5];
  asked.stages[256].aug_level = 0.25;
  const request = requestOf({ ...asked, prompt: "a cube & ünï" }, 256, GIVEN);
  const { request: read, warnings } = follow(queryOf(request, GIVEN));
  assert.deepEqual(read, request);
  assert.deepEqual(warnings, []);
});

test("options that no chosen rule takes, or that are at their default, are not part of a run", () => {
  const asked = first(GIVEN);
  Object.assign(asked.stages[64].options, { until: -4, percentile: 99.5 });
  assert.deepEqual(requestOf(asked, 64, GIVEN).stages[0].options, { until: -4 });
  asked.stages[64].w_schedule = "constant";
  assert.deepEqual(requestOf(asked, 64, GIVEN).stages[0].options, {});
  assert.equal(asked.stages[64].options.until, -4);
});

test("stages that a run lacks stay as they are", () => {
  const asked = first(GIVEN);
  asked.stages[256].aug_level = 0.3;
  const after = askedOf({ ...GIVEN.opening, prompt: "a cone" }, asked, GIVEN);
  assert.equal(after.prompt, "a cone");
  assert.equal(after.stages[256].aug_level, 0.3);
});

test("an option that a run leaves out is at its default, whatever it was before", () => {
  const asked = first(GIVEN);
  asked.stages[64].options.percentile = 95;
  assert.equal(askedOf(GIVEN.opening, asked, GIVEN).stages[64].options.percentile, 99.5);
});

test("a query without settings asks for no run", () => {
  for (const query of ["", "run=strong&step=2", "__theme=dark"]) {
    assert.equal(runIn(query, { ...GIVEN, link: { ...GIVEN.link, shown: ["run", "step"] } }, fine), null);
  }
});

test("names are read as the server reads them, and unknown ones are said", () => {
  const { request, warnings } = follow("prompt=a+cube&w-schedule=early&base64.guidance=3&sr1024.steps=2&x=1&count=4");
  assert.equal(request.stages[0].guidance, 3);
  assert.deepEqual(warnings, [
    "count: this tab draws one picture at a time",
    "sr1024.steps: unknown setting, ignored",
    "x: unknown setting, ignored",
  ]);
});

test("a hostile link is refused in one line", () => {
  for (const [query, reason] of [
    [`prompt=${"a".repeat(400)}`, /at most 300/],
    ["seed=1&seed=2", /twice/],
    ["size=constructor", /size: must be one of 64, 256/],
    ["format=9", /format/],
    ["sampler=__proto__", /sampler: this tab has dpmpp_2m, ddim/],
    ["threshold=none&w_schedule=constant&until=3", /until: not an option/],
    ["guidance_rule=cfgpp&guidance=<b>", null],
  ]) {
    if (reason)
      assert.throws(
        () => follow(query),
        (error) => error instanceof Refusal && reason.test(error.message),
      );
    else assert.equal(follow(query).warnings.length, 1);
  }
  assert.throws(() => runIn("guidance=99", GIVEN, () => "guidance: must be a number between 0 and 30"), Refusal);
});
