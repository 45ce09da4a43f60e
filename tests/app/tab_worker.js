// A sampler for tests of the page: it speaks as app/static/tab/engine/worker.js does, and draws waves in milliseconds.

import { plan } from "./plan.js";

const STEP_MS = 25;
// Of a prompt that begins with [slow].
const SLOW_MS = 300;
const waiting = new Map();
const held = new Set();
let manifest;
let current = null;

const need = (name) =>
  new Promise((resolve, reject) => {
    waiting.set(name, { resolve, reject });
    postMessage({ type: "need", id: name, name });
  });

const hold = async (part) => {
  for (const name of manifest.parts[part]) {
    if (!held.has(name)) await need(name);
    held.add(name);
  }
};

const track = (rule, size, share, detail) => {
  const n = size * size;
  const gain = rule === "none" ? 2 : 1;
  const kept = Float32Array.from({ length: 3 * n }, (_, i) => gain * share * Math.sin(i / 40));
  const pixels = new Uint8ClampedArray(4 * n).fill(255);
  for (let i = 0; i < 4 * n; i++) if (i % 4 < 3) pixels[i] = (kept[(i % 4) * n + (i >> 2)] + 1) * 127.5;
  const s = rule === "dynamic" ? 1.4 : 1;
  const numbers = { s, outside: 0.1, largest: gain, burnt: gain - 1, colourfulness: 0.3, contrast: 0.2 };
  const arrays = { raw: kept.slice(), kept, cond: kept.slice(), uncond: share < 0.6 ? kept.slice() : null };
  return { rule, pixels, numbers, ...(detail ? arrays : { kept }) };
};

/** Samples one stage; null where the run was stopped. */
const stageOf = async (order, stage) => {
  const { name, size } = manifest.stages.find((one) => one.size === stage.size);
  await hold(name);
  const { levels, weights, rows } = plan(stage, manifest);
  const { run } = order;
  const rules = order.rules ?? [stage.threshold];
  const planned = rows.length;
  const ms = order.request.prompt.startsWith("[slow]") ? SLOW_MS : STEP_MS;
  postMessage({ type: "planned", run, stage: name, size, steps: planned, levels, weights, rows });
  let tracks;
  for (let index = 0; index < planned; index++) {
    await new Promise((resolve) => setTimeout(resolve, ms));
    if (current !== run) return null;
    tracks = rules.map((rule) => track(rule, size, (index + 1) / planned, order.detail && size === 64));
    const { t, log_snr } = levels[index];
    const seconds = ms / 1000;
    postMessage({
      type: "frame",
      run,
      stage: name,
      size,
      index,
      planned,
      t,
      log_snr,
      w: weights[index],
      seconds,
      tracks,
    });
  }
  const images = tracks.map(({ kept }) => kept);
  postMessage({ type: "result", run, stage: name, size, seconds: (planned * ms) / 1000, images, rules });
  return images;
};

const sample = async (order) => {
  const { run } = order;
  current = run;
  // What a graphics card or a full memory would do.
  const kind = /^\[(memory|device)\]/.exec(order.request.prompt)?.[1];
  if (kind) return postMessage({ type: "error", run, kind, message: "It broke." });
  try {
    for (const stage of order.request.stages) {
      if (order.image && stage.size === 64) continue;
      if (!(await stageOf(order, stage))) return postMessage({ type: "stopped", run });
    }
    postMessage({ type: "done", run, seconds: 1 });
  } catch (error) {
    postMessage({ type: "error", run, kind: "weights", message: error.message });
  }
};

const load = async (message) => {
  manifest = message.manifest;
  const { backend, threads } = message;
  try {
    for (const part of [`runtime-${backend}`, "rules", "text"]) await hold(part);
    postMessage({ type: "ready", backend, threads });
  } catch (error) {
    postMessage({ type: "error", run: null, kind: "weights", message: error.message });
  }
};

const DEEDS = {
  load,
  sample,
  stop: () => {
    current = null;
  },
  bytes: ({ id, error }) => {
    const { resolve, reject } = waiting.get(id);
    if (error) reject(new Error(error));
    else resolve();
  },
};

self.onmessage = ({ data }) => DEEDS[data.type](data);
