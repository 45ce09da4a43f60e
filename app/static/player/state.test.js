import assert from "node:assert/strict";
import { test } from "node:test";
import { prepare, stateOf } from "./state.js";

const player = (over = {}) => {
  const choices = { mask: { checked: false } };
  return {
    choices,
    data: {
      kind: "recording",
      steps: [{ step: 1 }, { step: 3 }, { step: 5 }],
      tracks: [{ label: "none" }, { label: "dynamic" }],
    },
    root: { querySelector: (selector) => choices[selector.match(/value="(\w+)"/)[1]] ?? null },
    view: "side",
    at: 2,
    selected: null,
    probe: { pixel: [0, 0], move: (_, ...pixel) => Object.assign(choices, { pixel }) },
    pause: () => {},
    go(at) {
      this.at = at;
    },
    get step() {
      return this.data.steps[this.at].step;
    },
    get track() {
      return this.data.tracks.find((track) => track.label === this.selected) ?? this.data.tracks.at(-1);
    },
    ...over,
  };
};

test("a state is brought about and read back", () => {
  const shown = player();
  prepare(shown, { step: 3, view: "mask", rule: "none", pixel: [4, 5] });
  assert.deepEqual(shown.choices.pixel, [4, 5]);
  assert.equal(shown.choices.mask.checked, true);
  assert.deepEqual(stateOf(shown), { step: 3, view: "mask", rule: "none", pixel: [0, 0] });
});

test("what is left out or does not fit stays", () => {
  const shown = player();
  prepare(shown, { view: "wipe", rule: "squash" });
  prepare(shown, { view: "toString" });
  assert.deepEqual(stateOf(shown), { step: 5, view: "side", rule: "dynamic", pixel: [0, 0] });
});

test("a step beyond the run is its last one", () => {
  const shown = player({ at: 0 });
  prepare(shown, { step: 99 });
  assert.equal(shown.step, 5);
});

test("a note has no state to prepare", () => {
  const waiting = { data: { kind: "waiting" }, pause: () => assert.fail() };
  prepare(waiting, { step: 1 });
});
