import assert from "node:assert/strict";
import { test } from "node:test";
import { about, computes, hindrance, mishap } from "./speech.js";

test("what computes is named", () => {
  assert.match(computes({ backend: "webgpu", threads: 1 }), /WebGPU/);
  assert.match(computes({ backend: "wasm", threads: 1 }), /one thread/);
  assert.match(computes({ backend: "wasm", threads: 2 }), /2 threads/);
});

test("seconds in words", () => {
  assert.deepEqual([0.4, 12.3, 300].map(about), ["under a second", "about 12 s", "about 5 min"]);
});

test("what hinders a run is one sentence, and nothing hinders a whole browser", () => {
  const whole = { protocol: "https:", worker: true, wasm: true };
  assert.equal(hindrance(whole), null);
  assert.match(hindrance({ ...whole, protocol: "file:" }), /python -m http.server/);
  assert.match(hindrance({ ...whole, wasm: false }), /no WebAssembly/);
});

test("an error keeps its own sentence, unless there is something to do about it", () => {
  assert.equal(mishap({ kind: "other", message: "x" }), "x");
  assert.match(mishap({ kind: "memory", message: "x" }), /memory/);
});
