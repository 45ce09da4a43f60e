// What follows from a stage's settings before anything is drawn, and which settings a tab can take.

import { levels } from "./levels.js";

// How w runs over a run (imagen_core/diffusion/w_schedules.py); levels.test.js holds these to it.
const W_SCHEDULES = {
  constant: (w, path) => path.map(() => w),
  linear: (w, path) => path.map(({ t }) => 1 + 2 * (1 - t) * (w - 1)),
  cosine: (w, path) => path.map(({ t }) => 1 + (1 + Math.cos(Math.PI * t)) * (w - 1)),
  interval: (w, path, { low, high }) => path.map(({ log_snr }) => (low <= log_snr && log_snr <= high ? w : 1)),
  early: (w, path, { until }) => path.map(({ log_snr }) => (log_snr <= until ? w : 1)),
  oscillating: (w, path, { hold, rest }) => {
    const held = Math.ceil(hold * path.length);
    return path.map((_, i) => (i < held || (i - held) % 2 ? w : rest));
  },
};

/** Whether a weight is off, so that the estimate without text is not needed. */
export const isOff = (w) => Math.abs(w - 1) <= 1e-9 * Math.max(1, Math.abs(w));

/** A stage's settings with what is left out as in the manifest; its options with their defaults. */
export const filledIn = (stage, manifest) => {
  const config = { ...manifest.defaults[stage.size], ...stage };
  return { ...config, options: { ...manifest.options, ...config.options } };
};

/** Levels, the weight of each step, and how many rows of the network each step takes for one picture. */
export const plan = (stage, manifest) => {
  const config = filledIn(stage, manifest);
  const trained = manifest.stages.find(({ size }) => size === config.size).schedule;
  const schedule = config.schedule === "trained" ? trained : config.schedule;
  const path = levels(schedule, config.steps, config.spacing, config.times);
  const weights = W_SCHEDULES[config.w_schedule](config.guidance, path.slice(0, -1), config.options);
  return { config, levels: path, weights, rows: weights.map((w) => (isOff(w) ? 1 : 2)) };
};

const outside = (name, value, [low, high], whole = false) => {
  const fits = whole ? Number.isInteger(value) : Number.isFinite(value);
  if (fits && low <= value && value <= high) return null;
  return `${name}: must be ${whole ? "a whole number" : "a number"} between ${low} and ${high}, got ${shown(value)}`;
};

const shown = (value) => (JSON.stringify(value) ?? String(value)).slice(0, 60);

const wrongPrompt = (prompt, [, most]) => {
  if (typeof prompt !== "string" || !prompt.trim()) return `prompt: write a prompt first (1 to ${most} characters)`;
  const length = [...prompt].length;
  if (length > most) return `prompt: must have between 1 and ${most} characters, got ${length}`;
  return prompt.isWellFormed?.() === false ? "prompt: holds half of a surrogate pair; retype that character" : null;
};

const wrongTimes = (times, steps) => {
  if (!Array.isArray(times) || times.some((t, i) => !(t > 0 && t <= 1) || (i > 0 && t >= times[i - 1]))) {
    return "times: must be a list of numbers that fall from at most 1, and stay above 0";
  }
  return times.length && times.length !== steps ? `times: has ${times.length} entries for ${steps} steps` : null;
};

const wrongOptions = ({ options }, manifest) => {
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(manifest.options, name)) return `${name.slice(0, 40)}: is not among the options of a tab`;
    const wrong = outside(name, value, manifest.ranges[name]);
    if (wrong) return wrong;
  }
  return options.low > options.high ? `low: must not be above high, got ${options.low} and ${options.high}` : null;
};

const wrongStage = (stage, manifest) => {
  const known = manifest.defaults[stage?.size];
  if (!known) return `size: must be one of ${Object.keys(manifest.defaults).join(", ")}, got ${shown(stage?.size)}`;
  const strange = Object.keys(stage).find((name) => !Object.hasOwn(known, name));
  if (strange) return `${strange.slice(0, 40)}: unknown setting`;
  const config = filledIn(stage, manifest);
  for (const [name, choices] of Object.entries(manifest.offers)) {
    if (!choices.includes(config[name])) {
      return `${name}: must be one of ${choices.join(", ")} in a tab, got ${shown(config[name])}`;
    }
  }
  return (
    outside("steps", config.steps, manifest.ranges.steps, true) ??
    outside("guidance", config.guidance, manifest.ranges.guidance) ??
    (known.aug_level === null ? null : outside("aug_level", config.aug_level, manifest.ranges.aug_level)) ??
    wrongTimes(config.times, config.steps) ??
    wrongOptions(config, manifest)
  );
};

/** Why a tab cannot run a request, in one line that names the setting; null where it can. */
export const check = (request, manifest) => {
  if (typeof request !== "object" || request === null) return "settings: must be an object";
  const { prompt, seed = 0, count = 1, stages } = request;
  const wrong = wrongPrompt(prompt, manifest.ranges.prompt) ?? outside("seed", seed, manifest.ranges.seed, true);
  if (wrong) return wrong;
  if (count !== 1) return "count: a tab draws one picture at a time";
  if (!Array.isArray(stages) || !stages.length) return "stages: must be a list of stages";
  for (const [i, stage] of stages.entries()) {
    const bad = wrongStage(stage, manifest);
    if (bad) return bad;
    if (stage.size !== manifest.stages[i].size) return "stages: must begin at the smallest, without gaps";
  }
  try {
    for (const stage of stages) plan(stage, manifest);
  } catch (error) {
    return error.message;
  }
  return null;
};
