import assert from "node:assert/strict";
import test, { mock } from "node:test";
import { DAMAGED, mismatch, parse, uneven } from "./payload.js";

const NUMBERS = { type: "array", items: { anyOf: [{ type: "number" }, { type: "null" }] } };
const TRACK = {
  type: "object",
  required: ["label", "numbers"],
  properties: { label: { type: "string" }, numbers: { type: "object", additionalProperties: NUMBERS } },
};
const LIVE = {
  type: "object",
  required: ["kind", "tracks"],
  properties: { kind: { const: "live" }, tracks: { type: "array", items: TRACK } },
};
const SCHEMAS = {
  live: LIVE,
  waiting: { type: "object", required: ["note"], properties: { note: { type: "string" } } },
};
const frame = (numbers = { s: [1, null] }) => ({ kind: "live", tracks: [{ label: "none", numbers }] });

test("a payload that fits is left as it is", () => {
  assert.equal(mismatch(frame(), LIVE), null);
  assert.deepEqual(parse(JSON.stringify(frame()), SCHEMAS), frame());
});

test("what does not fit is named by its place", () => {
  assert.equal(mismatch({ kind: "live" }, LIVE), "payload.tracks: is missing");
  assert.equal(mismatch({ kind: "other", tracks: [] }, LIVE), "payload.kind: must be live");
  assert.equal(mismatch(frame({ s: ["1"] }), LIVE), "payload.tracks.0.numbers.s.0: has the wrong type");
  assert.equal(mismatch({ kind: "live", tracks: {} }, LIVE), "payload.tracks: must be of type array");
});

test("every list of a track has as many entries as there are steps", () => {
  assert.equal(uneven(frame({ s: [1, 2], burnt: [0] })), "payload.tracks.0.burnt: must have 2 entries");
  assert.equal(uneven({ kind: "recording", tracks: frame().tracks, steps: [1, 2] }), null);
  assert.equal(uneven({ kind: "recording", tracks: [], steps: [1] }), "payload.tracks: is empty");
});

test("a damaged text becomes a note", () => {
  const warn = mock.method(console, "warn", () => {});
  for (const text of ["", "null", "[]", '{"kind": "toString"}', '{"kind": "live", "tracks": [{}]}']) {
    assert.deepEqual(parse(text, SCHEMAS), { kind: "waiting", note: DAMAGED });
  }
  assert.equal(warn.mock.callCount(), 5);
});
