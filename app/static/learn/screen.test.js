import assert from "node:assert/strict";
import { test } from "node:test";
import { only, stillsIn } from "./screen.js";

const TEXT = JSON.stringify({ kind: "recording", tracks: [{ label: "none" }, { label: "dynamic" }] });

test("a lesson may show some of a run's tracks", () => {
  assert.deepEqual(JSON.parse(only(TEXT, ["dynamic"])).tracks, [{ label: "dynamic" }]);
  assert.equal(JSON.parse(only(TEXT, ["none", "dynamic"])).tracks.length, 2);
});

test("a note, or a run without these tracks, stays whole", () => {
  assert.equal(only('{"kind":"waiting","note":""}', ["none"]), '{"kind":"waiting","note":""}');
  assert.equal(only(TEXT, ["squash"]), TEXT);
});

test("stills are told from a run", () => {
  assert.deepEqual(stillsIn('{"kind":"stills","stills":[{"label":"a"}]}'), [{ label: "a" }]);
  assert.equal(stillsIn(TEXT), null);
});
