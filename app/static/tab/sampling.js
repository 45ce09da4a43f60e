// One run after another in this tab: its turn among tabs, the files that it lacks, then the sampler.

import { Engine, suited } from "./engine.js";
import { Holding } from "./holding.js";
import { mishap } from "./speech.js";

const LOCK = "imagen-lab-sampling";
// Less than this may be of a rule or sampler that a run does not use, and is never asked for.
export const FEW_BYTES = 1e5;
// A wait that is shorter is not worth a word; our choice.
const PATIENCE_MS = 300;

/** The files that the stages of these sizes need. */
export const filesOf = ({ parts, stages }, backend, sizes) => {
  const names = stages.filter(({ size }) => sizes.includes(size)).map(({ name }) => name);
  return [
    ...new Set([
      ...parts[`runtime-${backend}`],
      ...parts.text,
      ...parts.rules,
      ...names.flatMap((name) => parts[name]),
    ]),
  ];
};

export class Sampling {
  /** hear(message): as the worker says, of the newest order alone; say(state): what goes on before the first step.
   *
   * `state` is { waits: true }, { got, of } in bytes, or { prepares: true }.
   */
  constructor({ manifest, base, digest, hear, say, make }) {
    Object.assign(this, { manifest, hear, say });
    this.got = this.of = 0;
    this.place = this.release = this.waits = null;
    this.holding = new Holding({
      files: manifest.files,
      base: new URL("weights/", base).href,
      digest,
      arrived: (bytes) => this.arrive(bytes),
    });
    this.engine = new Engine({
      manifest,
      vendor: new URL("vendor/", base).href,
      bytes: (name) => this.holding.bytes(name),
      hear: (message) => this.take(message),
      make,
    });
    this.order = null;
    this.means = null;
  }

  /** Whether a run would begin at once. */
  get warm() {
    return this.engine.ready;
  }

  /** What this browser computes with, found out once. */
  async found() {
    this.means ??= await suited(navigator, globalThis.crossOriginIsolated === true);
    return this.means;
  }

  /** What a run up to a size lacks: { files: how many the worker does not have, bytes: still to be fetched }. */
  async lacks(sizes) {
    const { backend } = await this.found();
    const names = filesOf(this.manifest, backend, sizes).filter((name) => !this.engine.held.has(name));
    return { files: names.length, bytes: await this.holding.missing(names) };
  }

  /** Begins a run, in place of one at work: the worker's "sample" without its type. */
  async begin(order) {
    this.order = order;
    try {
      await this.turn(order);
      const { files, bytes } = await this.lacks(order.request.stages.map(({ size }) => size));
      [this.got, this.of] = [0, bytes];
      if (files && order === this.order) this.say(bytes > FEW_BYTES ? { got: 0, of: bytes } : { prepares: true });
      if (order === this.order) this.engine.sample(order, await this.found());
    } catch (error) {
      if (order === this.order && error.name !== "AbortError") this.fail(error.message);
    }
  }

  arrive(bytes) {
    this.got += bytes;
    // An earlier order's files count as well: they are kept.
    if (this.order) this.say(this.of - this.got > FEW_BYTES ? { got: this.got, of: this.of } : { prepares: true });
  }

  /** Waits until no other tab of this browser computes: two at once would take twice the memory. */
  async turn(order) {
    if (this.release || !navigator.locks) return;
    const waiting = setTimeout(() => order === this.order && this.say({ waits: true }), PATIENCE_MS);
    // One place in the line for all orders that come before it is this tab's turn: a second would wait for the first.
    this.place ??= this.queue();
    try {
      await this.place;
    } finally {
      clearTimeout(waiting);
    }
  }

  queue() {
    this.waits = new AbortController();
    const { signal } = this.waits;
    return new Promise((resolve, reject) => {
      const hold = () =>
        new Promise((release) => {
          this.release = release;
          this.place = null;
          resolve();
        });
      navigator.locks.request(LOCK, { signal }, hold).catch(reject);
    });
  }

  /** Ends the run at work, or on its way. */
  stop() {
    const { order } = this;
    if (!order) return;
    this.engine.stop();
    this.holding.stop();
    this.waits?.abort();
    this.place = null;
    this.finish();
    this.hear({ type: "stopped", run: order.run });
  }

  finish() {
    this.order = null;
    this.release?.();
    this.release = null;
  }

  fail(message) {
    const { run } = this.order;
    this.finish();
    this.hear({ type: "error", run, message });
  }

  take(message) {
    const { type, run } = message;
    if (type === "ready") this.means = { backend: message.backend, threads: message.threads };
    if (type === "error" && message.kind === "device") this.means = { backend: "wasm", threads: 1 };
    if (type === "error" && message.kind === "memory") this.means = { ...this.means, threads: 1 };
    if (!this.order || (run != null && run !== this.order.run)) return;
    if (type === "error") {
      this.fail(mishap(message));
      return;
    }
    if (type === "done" || type === "stopped") this.finish();
    this.hear(message);
  }
}
