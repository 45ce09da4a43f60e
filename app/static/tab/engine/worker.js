// The engine in a worker: what a page may ask of it, and what it answers (docs/ARCHITECTURE.md, "A tab").

import { opener } from "./graphs.js";
import { reader, TooLong } from "./language.js";
import { check } from "./plan.js";
import { pixelsOf, Stopped, sample } from "./sampling.js";

// The libraries' modules, by the way the runtime computes.
const RUNTIMES = { wasm: "ort/ort.wasm.min.mjs", webgpu: "ort/ort.webgpu.min.mjs" };
// Arrays of a step go to the page up to this size: the player shows no more.
const MOST_DETAIL = 64;

let engine = null;
// How the runtime computes: wasm or webgpu.
let way = null;
let loading = null;
let current = null;
let asked = 0;
const waiting = new Map();

/** A file of the export from the page, which fetches and checks it. */
const fetchBytes = (name) =>
  new Promise((resolve, reject) => {
    const id = ++asked;
    waiting.set(id, { resolve, reject });
    postMessage({ type: "need", id, name });
  });

/** A page could not give a file; its own sentence says why. */
class Missing extends Error {}

const bytes = ({ id, bytes, error }) => {
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error) reject(new Missing(error));
  else resolve(bytes);
};

const load = async ({ manifest, vendor, backend, threads }) => {
  way = backend;
  const [ort, { Tokenizer }] = await Promise.all([
    import(`${vendor}${RUNTIMES[backend]}`),
    import(`${vendor}tokenizers/tokenizers.min.mjs`),
  ]);
  const [name] = manifest.parts[`runtime-${backend}`];
  const open = opener({ ort, manifest, fetchBytes, provider: backend });
  ort.env.wasm.wasmPaths = `${vendor}ort/`;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmBinary = (await open.file(name)).slice().buffer;
  engine = { ort, manifest, open, read: reader({ ort, Tokenizer, manifest, open }).read };
  postMessage({ type: "ready", backend, threads });
};

/** Opens what runs of these stages will need, so that the first one begins at once. */
const prepare = async ({ stages }) => {
  const { manifest, open } = engine;
  await open.graph(manifest.text.graph);
  for (const { name, graphs } of manifest.stages) {
    if (stages.includes(name)) for (const file of Object.values(graphs)) await open.graph(file);
  }
  postMessage({ type: "prepared", stages });
};

/** A frame as the page takes it; its arrays are copies, which are handed over and not copied again. */
const shown = (frame, detail) => {
  const given = [];
  const copied = (array) => {
    if (array === null) return null;
    const copy = array.slice();
    given.push(copy.buffer);
    return copy;
  };
  const tracks = frame.tracks.map(({ rule, numbers, ...arrays }) => {
    const pixels = pixelsOf(arrays.kept);
    given.push(pixels.buffer);
    const parts = detail ? Object.entries(arrays).map(([name, array]) => [name, copied(array)]) : [];
    return { rule, numbers, pixels, ...Object.fromEntries(parts) };
  });
  return [{ ...frame, tracks }, given];
};

const run = async ({ run, request, rules, image, detail }, state) => {
  const began = performance.now();
  // Messages, such as "stop", arrive only where the worker waits for something else than the runtime.
  const pause = async () => {
    await new Promise((resolve) => setTimeout(resolve));
    if (state.stopped) throw new Stopped();
  };
  for await (const event of sample(engine, request, { rules, images: image ?? null, pause })) {
    const [message, given] = event.type === "frame" ? shown(event, detail && event.size <= MOST_DETAIL) : [event, []];
    postMessage({ ...message, run }, given);
  }
  postMessage({ type: "done", run, seconds: (performance.now() - began) / 1000 });
};

const LOST = "The graphics card cannot go on. Start again to compute without it.";
const KINDS = [
  [/memory|allocat|out of bounds/i, "memory", "The tab ran out of memory. Choose a smaller size, or close other tabs."],
  [/device|webgpu|gpu|adapter/i, "device", LOST],
];

/** What a page is told of an error: one sentence, and what may be done about it. */
const told = (error) => {
  if (error instanceof TooLong) return { kind: "input", message: error.message };
  if (error instanceof Missing) return { kind: "weights", message: error.message };
  const text = String(error?.message ?? error);
  const known = KINDS.find(([pattern]) => pattern.test(text));
  if (known) return { kind: known[1], message: known[2] };
  // Whatever a card cannot do, the processor can.
  if (way === "webgpu") return { kind: "device", message: LOST };
  return { kind: "other", message: `The run failed: ${text.slice(0, 200)}` };
};

const start = async (message) => {
  const before = current;
  if (before) before.stopped = true;
  const state = { stopped: false };
  const wrong = engine ? check(message.request, engine.manifest) : "load: comes first";
  if (wrong) {
    postMessage({ type: "error", run: message.run, kind: "input", message: wrong });
    return;
  }
  current = state;
  state.ended = (async () => {
    await before?.ended;
    try {
      await run(message, state);
    } catch (error) {
      if (error instanceof Stopped) postMessage({ type: "stopped", run: message.run });
      else postMessage({ type: "error", run: message.run, ...told(error) });
    }
  })();
};

/** What was asked before the runtime is there waits for it. */
const loaded = (action) => async (message) => {
  try {
    await loading;
    await action(message);
  } catch (error) {
    postMessage({ type: "error", run: message.run ?? null, ...told(error) });
  }
};

const ACTIONS = {
  bytes,
  load: (message) => {
    loading = load(message);
    return loaded(async () => {})(message);
  },
  prepare: loaded(prepare),
  sample: loaded(start),
  stop: () => {
    if (current) current.stopped = true;
  },
};

addEventListener("message", ({ data }) => ACTIONS[data.type](data));
