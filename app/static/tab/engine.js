// The sampler in its worker: what it needs is handed to it, and what it says is passed on.

// More threads than this gain nothing on networks of this size; our choice.
const MOST_THREADS = 4;

/** What to compute with here: { backend, threads }. A graphics card that a processor imitates is no help. */
export const suited = async ({ gpu, hardwareConcurrency }, isolated) => {
  const adapter = await gpu?.requestAdapter().catch(() => null);
  const real = adapter && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
  const threads = isolated ? Math.min(MOST_THREADS, hardwareConcurrency ?? 1) : 1;
  return real ? { backend: "webgpu", threads: 1 } : { backend: "wasm", threads };
};

export class Engine {
  /** hear(message): "ready", "planned", "frame", "result", "done", "stopped" and "error", as the worker says them.
   *
   * bytes(name): a file of the model, as a promise. make(): a worker.
   */
  constructor({ manifest, vendor, bytes, hear, make }) {
    Object.assign(this, { manifest, vendor, bytes, hear, make });
    this.worker = null;
    this.ready = false;
    this.next = null;
    this.held = new Set();
  }

  /** Samples as an order says, instead of an earlier one; starts a worker with { backend, threads } where there is none. */
  sample(order, means) {
    this.next = order;
    if (!this.worker) this.start(means);
    else if (this.ready) this.send();
  }

  send() {
    if (this.next) this.worker.postMessage({ type: "sample", ...this.next });
    this.next = null;
  }

  start(means) {
    const worker = this.make();
    this.worker = worker;
    worker.onmessage = ({ data }) => {
      if (worker === this.worker) this.take(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (worker === this.worker) this.fail("other", `The sampler stopped: ${event.message ?? "it did not start"}.`);
    };
    const { manifest, vendor } = this;
    worker.postMessage({ type: "load", manifest, vendor, ...means });
  }

  /** Ends a run within a step; a worker that is still on its way is given up. */
  stop() {
    this.next = null;
    if (this.ready) this.worker.postMessage({ type: "stop" });
    else this.end();
  }

  end() {
    this.worker?.terminate();
    this.worker = null;
    this.ready = false;
    this.held.clear();
  }

  take(message) {
    if (message.type === "need") this.answer(message);
    else if (message.type === "error") this.fail(message.kind, message.message, message.run);
    else {
      if (message.type === "ready") this.ready = true;
      this.hear(message);
      if (message.type === "ready") this.send();
    }
  }

  async answer({ id, name }) {
    const { worker } = this;
    try {
      const bytes = await this.bytes(name);
      worker.postMessage({ type: "bytes", id, bytes }, [bytes]);
      this.held.add(name);
    } catch (error) {
      worker.postMessage({ type: "bytes", id, error: error.message });
    }
  }

  /** A worker whose input was wrong, or that lacked a file, is still good, unless it lacked what it starts with. */
  fail(kind, message, run = null) {
    if (!this.ready || (kind !== "input" && kind !== "weights")) this.end();
    this.hear({ type: "error", kind, message, run });
  }
}
