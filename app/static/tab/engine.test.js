import assert from "node:assert/strict";
import { test } from "node:test";
import { Engine, suited } from "./engine.js";

const adapter = (info) => ({ gpu: { requestAdapter: async () => info } });

test("a real graphics card computes, else as many threads as the page may have", async () => {
  assert.deepEqual(await suited(adapter({ info: {} }), false), { backend: "webgpu", threads: 1 });
  const wasm = (threads) => ({ backend: "wasm", threads });
  assert.deepEqual(await suited({ hardwareConcurrency: 16 }, true), wasm(4));
  assert.deepEqual(await suited({ hardwareConcurrency: 16 }, false), wasm(1));
  const imitated = { ...adapter({ info: { isFallbackAdapter: true } }), hardwareConcurrency: 2 };
  assert.deepEqual(await suited(imitated, true), wasm(2));
});

const made = () => {
  const log = [];
  const workers = [];
  const make = () => {
    const worker = {
      posted: [],
      postMessage: (m) => worker.posted.push(m),
      terminate: () => worker.posted.push("end"),
    };
    workers.push(worker);
    return worker;
  };
  const bytes = async (name) => {
    if (name === "lost") throw new Error("It did not arrive.");
    return new ArrayBuffer(3);
  };
  const engine = new Engine({ manifest: {}, vendor: "v/", bytes, hear: (m) => log.push(m), make });
  return { engine, log, workers };
};
const types = (worker) => worker.posted.map((m) => m.type ?? m);

test("an order waits until the worker is there, and the newest takes its place", () => {
  const { engine, workers } = made();
  engine.sample({ run: "a" }, { backend: "wasm", threads: 1 });
  engine.sample({ run: "b" });
  assert.deepEqual(types(workers[0]), ["load"]);
  workers[0].onmessage({ data: { type: "ready" } });
  assert.deepEqual(types(workers[0]), ["load", "sample"]);
  assert.equal(workers[0].posted[1].run, "b");
});

test("the worker is handed what it needs, or told why not", async () => {
  const { engine, workers } = made();
  engine.sample({ run: "a" }, {});
  for (const name of ["there", "lost"]) workers[0].onmessage({ data: { type: "need", id: name, name } });
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(
    workers[0].posted.slice(1).map(({ id, error }) => [id, error]),
    [
      ["there", undefined],
      ["lost", "It did not arrive."],
    ],
  );
  assert.deepEqual([...engine.held], ["there"]);
});

test("a worker that failed, or is stopped before it is there, is given up; one with a wrong input is not", () => {
  for (const [before, data, ends] of [
    [true, { type: "error", kind: "device", message: "x" }, true],
    [true, { type: "error", kind: "input", message: "x" }, false],
    [false, { type: "error", kind: "weights", message: "x" }, true],
  ]) {
    const { engine, workers, log } = made();
    engine.sample({ run: "a" }, {});
    if (before) workers[0].onmessage({ data: { type: "ready" } });
    workers[0].onmessage({ data });
    assert.equal(workers[0].posted.includes("end"), ends);
    assert.equal(log.at(-1).message, "x");
  }
  const { engine, workers } = made();
  engine.sample({ run: "a" }, {});
  engine.stop();
  assert.ok(workers[0].posted.includes("end"));
});
