import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { levels } from "./levels.js";
import { check, isOff, plan } from "./plan.js";

const VECTORS = JSON.parse(readFileSync(new URL("../../../../tests/data/tab_vectors.json", import.meta.url)));
const near = (a, b) => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b));

test("levels are the engine's, for every schedule, spacing and list of times", () => {
  assert.ok(VECTORS.levels.length > 100);
  for (const { schedule, spacing, steps, times, levels: expected } of VECTORS.levels) {
    const what = `${schedule} ${spacing} ${steps}`;
    if (expected === null) {
      assert.throws(() => levels(schedule, steps, spacing, times), /times/, what);
      continue;
    }
    const path = levels(schedule, steps, spacing, times);
    assert.deepEqual(path.at(-1), { t: 0, log_snr: Infinity });
    assert.equal(path.length, expected.length + 1);
    for (const [i, [t, logSnr]] of expected.entries()) {
      assert.ok(near(path[i].t, t) && near(path[i].log_snr, logSnr), `${what}, step ${i}`);
    }
  }
});

const BASE = {
  size: 64,
  steps: 25,
  guidance: 5,
  sampler: "dpmpp_2m",
  spacing: "trailing",
  schedule: "trained",
  times: [],
  guidance_rule: "cfg",
  w_schedule: "early",
  threshold: "dynamic",
  aug_level: null,
  options: {},
};
const MANIFEST = {
  defaults: { 64: BASE, 256: { ...BASE, size: 256, steps: 8, guidance: 1, aug_level: 0.1, spacing: "late" } },
  stages: [
    { size: 64, schedule: "cosine" },
    { size: 256, schedule: "cosine" },
  ],
  options: { percentile: 99.5, low: -4, high: 4, until: -2, hold: 0.2, rest: 1 },
  ranges: {
    prompt: [1, 500],
    seed: [0, 2 ** 31 - 1],
    steps: [1, 250],
    guidance: [0, 30],
    aug_level: [0, 1],
    percentile: [50, 100],
    low: [-20, 20],
    high: [-20, 20],
    until: [-20, 20],
    hold: [0, 1],
    rest: [0, 30],
  },
  offers: {
    sampler: ["dpmpp_2m", "ddim"],
    guidance_rule: ["cfg"],
    threshold: ["none", "static", "dynamic"],
    w_schedule: Object.keys(VECTORS.weights),
    spacing: ["trailing", "late"],
    schedule: ["trained", "cosine"],
  },
};

test("weights are the engine's under every schedule of w, and rows follow", () => {
  for (const [name, expected] of Object.entries(VECTORS.weights)) {
    const made = plan({ size: 64, w_schedule: name }, MANIFEST);
    assert.ok(
      made.weights.every((w, i) => near(w, expected[i])),
      name,
    );
    assert.deepEqual(
      made.rows,
      expected.map((w) => (isOff(w) ? 1 : 2)),
    );
  }
  assert.ok(isOff(1 + 1e-12) && !isOff(1.001));
});

const REQUEST = { prompt: "a red ball", seed: 1, count: 1, stages: [{ size: 64 }] };
const base = (changes) => ({ ...REQUEST, stages: [{ size: 64, ...changes }] });

test("what a tab can run has nothing wrong", () => {
  assert.equal(check(REQUEST, MANIFEST), null);
  assert.equal(
    check({ ...REQUEST, stages: [{ size: 64, options: { percentile: 80 } }, { size: 256 }] }, MANIFEST),
    null,
  );
  assert.equal(check(base({ times: [0.9, 0.2], steps: 2 }), MANIFEST), null);
});

test("each mistake gets one line that names the setting", () => {
  const wrong = [
    [{ ...REQUEST, prompt: "  " }, "prompt"],
    [{ ...REQUEST, prompt: "🙂".repeat(501) }, "prompt"],
    [{ ...REQUEST, seed: 1.5 }, "seed"],
    [{ ...REQUEST, seed: 2 ** 31 }, "seed"],
    [{ ...REQUEST, count: 2 }, "count"],
    [{ ...REQUEST, stages: [] }, "stages"],
    [{ ...REQUEST, stages: [{ size: 256 }] }, "stages"],
    [{ ...REQUEST, stages: [{ size: 512 }] }, "size"],
    [base({ steps: 0 }), "steps"],
    [base({ steps: "25" }), "steps"],
    [base({ guidance: Number.NaN }), "guidance"],
    [base({ guidance_rule: "apg" }), "guidance_rule"],
    [base({ threshold: "toString" }), "threshold"],
    [base({ sampler: "heun" }), "sampler"],
    [base({ strange: 1 }), "strange"],
    [base({ options: { percentile: 49 } }), "percentile"],
    [base({ options: { cap: 2 } }), "cap"],
    [base({ options: { low: 5 } }), "low"],
    [base({ times: [0.1, 0.9], steps: 2 }), "times"],
    [base({ times: [0.9], steps: 2 }), "times"],
    [null, "settings"],
  ];
  for (const [request, name] of wrong) {
    const line = check(request, MANIFEST);
    assert.ok(line?.startsWith(`${name}: `) && !line.includes("\n"), `${name}: ${line}`);
  }
});
