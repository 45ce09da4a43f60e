// What the page says: what computes, how long it takes, and what went wrong.

/** Seconds as rounded words, such as "about 40 s"; null where they are not known. */
export const about = (seconds) => {
  if (seconds === null) return "time not known before the first run";
  if (seconds < 1) return "under a second";
  return seconds < 90 ? `about ${Math.round(seconds)} s` : `about ${Math.round(seconds / 60)} min`;
};

/** What computes: { backend, threads } as the worker says it. */
export const computes = ({ backend, threads }) => {
  if (backend === "webgpu") return "This tab computes on its graphics card (WebGPU).";
  return `This tab computes in WebAssembly, on ${threads === 1 ? "one thread" : `${threads} threads`}.`;
};

const COMMAND = "python -m http.server";

/** Why this browser cannot sample here at all; null where it can try. */
export const hindrance = ({ protocol, worker, wasm }) => {
  if (protocol === "file:") {
    return `Opened from a disk, this page plays recorded runs only: browsers start no worker there. In its folder, run
      ${COMMAND} and open http://localhost:8000.`.replace(/\s+/g, " ");
  }
  if (!worker || !wasm) return "This browser has no WebAssembly, or it is switched off. Recorded runs still play.";
  return null;
};

const AFTER = {
  memory: "There is not enough memory for this. Close other tabs, or choose a smaller picture.",
  device: "The graphics card stopped answering. The next run computes in WebAssembly.",
};

/** What to tell people about an error of the worker: { kind, message }. */
export const mishap = ({ kind, message }) => (Object.hasOwn(AFTER, kind) ? AFTER[kind] : message);
