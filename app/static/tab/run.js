// A run in this tab as the player takes it: the newest frame while it samples, all its steps when it has ended.

import { histogram } from "../player/values.js";

// As imagen_core/records/recording.py: longer runs keep this many steps, evenly spread.
const MOST_STEPS = 64;
// The largest float16, which recordings hold.
const MOST_VALUE = 65504;
// The numbers of a step, as imagen_core/records/payload.py has them.
const NUMBERS = ["s", "outside", "largest", "burnt", "colourfulness", "contrast"];

/** Which of so many steps, from 0, are kept. */
export const keptOf = (steps, most = MOST_STEPS) => {
  const n = Math.min(steps, most);
  return new Set(Array.from({ length: n }, (_, i) => (n > 1 ? Math.round((i * (steps - 1)) / (n - 1)) : 0)));
};

// JSON has no infinity: null stands for it.
const numberOf = (x) => (Number.isFinite(x) ? x : null);

/** RGB in base64, of RGBA. */
export const rgbOf = (rgba) => {
  let text = "";
  for (let i = 0; i < rgba.length; i += 4) text += String.fromCharCode(rgba[i], rgba[i + 1], rgba[i + 2]);
  return btoa(text);
};

export class Run {
  /** request: the run's JSON; rules: its tracks; kept: options that every rule has, with their defaults. */
  constructor({ id, request, rules, weights, kept, link, draft }) {
    Object.assign(this, { id, request, rules, weights, link, draft });
    [this.stage] = request.stages;
    this.options = { ...kept, ...this.stage.options };
    this.steps = keptOf(this.stage.steps);
    this.frames = [];
    this.numbers = rules.map(() => Object.fromEntries(NUMBERS.map((name) => [name, []])));
    this.images = {};
  }

  /** Notes a step: the worker's "frame". */
  add(frame) {
    // The last one so far stays until the next, so that a stopped run ends where it was stopped.
    if (this.frames.length && !this.steps.has(this.frames.at(-1).index)) this.frames.pop();
    this.frames.push(frame);
    frame.tracks.forEach((track, k) => {
      for (const name of NUMBERS) this.numbers[k][name].push(numberOf(track.numbers[name]));
    });
  }

  /** The newest step for the player, with a note in its heading. */
  live(note) {
    const frame = this.frames.at(-1);
    const { stage, request } = this;
    const largest = Math.min(MOST_VALUE, Math.max(1, ...frame.tracks.map((track) => track.numbers.largest)));
    return {
      kind: "live",
      run: this.id,
      picked: stage.threshold,
      size: stage.size,
      planned: stage.steps,
      note,
      request: { prompt: request.prompt, seed: request.seed },
      largest,
      tracks: frame.tracks.map((track, k) => ({
        label: this.rules[k],
        rule: this.rules[k],
        w: stage.guidance,
        pixels: rgbOf(track.pixels),
        histogram: [...histogram(track.raw, largest)],
        numbers: this.numbers[k],
      })),
    };
  }

  /** All steps so far for the player, unpacked as unpack.js leaves a recording. */
  recording() {
    const { stage, frames } = this;
    const length = 3 * stage.size * stage.size;
    return {
      kind: "recording",
      run: this.id,
      picked: stage.threshold,
      title: "",
      weights: this.weights,
      size: stage.size,
      planned: stage.steps,
      steps: frames.map(({ index, t, log_snr }) => ({ step: index + 1, t, log_snr })),
      request: this.request,
      link: this.link,
      others: {},
      length,
      tracks: this.rules.map((rule, k) => this.track(rule, k, length)),
    };
  }

  track(rule, k, length) {
    const { stage, frames, options } = this;
    const all = (value) => {
      const values = new Float32Array(frames.length * length);
      frames.forEach((frame, at) => {
        const own = value(frame.tracks[k]);
        if (own) values.set(own, at * length);
      });
      return values;
    };
    const unguided = frames.flatMap((frame, at) => (frame.tracks[k].uncond ? [] : [at]));
    const guided = unguided.length < frames.length;
    const difference = ({ cond, uncond }) => uncond && cond.map((x, i) => x - uncond[i]);
    return {
      label: rule,
      rule,
      w: stage.guidance,
      percentile: options.percentile,
      cap: options.cap ?? null,
      options,
      w_schedule: stage.w_schedule,
      guidance_rule: stage.guidance_rule,
      ...(stage.w_schedule === "constant" ? {} : { weights: frames.map(({ w }) => w) }),
      ...(guided && unguided.length ? { unguided } : {}),
      // The numbers of the steps that were kept.
      numbers: Object.fromEntries(
        NUMBERS.map((name) => [name, frames.map(({ index }) => this.numbers[k][name][index])]),
      ),
      raw: all((track) => track.raw),
      kept: null,
      cond: all((track) => track.cond),
      delta: guided ? all(difference) : null,
    };
  }
}
