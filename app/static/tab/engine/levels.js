// Noise levels of a run, as imagen_core/diffusion/schedules.py has them; levels.test.js holds them to it.

const LOG_SNR_MAX = 15;
const TRAIN_STEPS = 1000;
// Of the spacing "late": no step between pure noise and the first, and how clean the last is.
const LATE = [0, 7];

const LOW = Math.atan(Math.exp(-LOG_SNR_MAX / 2));
const HIGH = Math.atan(Math.exp(LOG_SNR_MAX / 2));
const cosine = (t) => -2 * Math.log(Math.tan(LOW + t * (HIGH - LOW)));
const shifted = (size) => (t) => cosine(t) + 2 * Math.log(64 / size);

const linear = (t) => {
  const exponent = 0.1 * t + 0.5 * (20 - 0.1) * t * t;
  return -Math.log(Math.max(Math.expm1(exponent), Math.exp(-LOG_SNR_MAX)));
};

/** log_snr before the first and after each of DDPM's discrete steps. */
const tabled = (betas) => {
  const table = [LOG_SNR_MAX];
  let sum = 0;
  for (const beta of betas) {
    sum += Math.log1p(-beta);
    table.push(sum - Math.log(-Math.expm1(sum)));
  }
  return (t) => {
    const place = t * TRAIN_STEPS;
    const below = Math.min(TRAIN_STEPS - 1, Math.max(0, Math.floor(place)));
    return table[below] + (table[below + 1] - table[below]) * (place - below);
  };
};

const counted = (length, value) => Array.from({ length }, (_, i) => value(i));
const cosineAt = (i) => Math.cos((((i / TRAIN_STEPS + 0.008) / 1.008) * Math.PI) / 2) ** 2;
const ROOTS = [Math.sqrt(1e-4), Math.sqrt(0.02)];

const SCHEDULES = {
  cosine,
  linear,
  cosine_for_256: shifted(256),
  cosine_for_1024: shifted(1024),
  squaredcos_cap_v2: tabled(counted(TRAIN_STEPS, (i) => Math.min(0.999, 1 - cosineAt(i + 1) / cosineAt(i)))),
  scaled_linear: tabled(counted(TRAIN_STEPS, (i) => (ROOTS[0] + ((ROOTS[1] - ROOTS[0]) * i) / (TRAIN_STEPS - 1)) ** 2)),
};

/** The time at which a schedule reaches log_snr, by bisection. */
const timeOf = (schedule, logSnr) => {
  let [low, high] = [0, 1];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (schedule(middle) > logSnr) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
};

/** t = 1 in place of `first`, which is not visited, then equal steps of log_snr to `last`. */
const equal = (schedule, steps, first, last) =>
  counted(steps, (i) => (i ? timeOf(schedule, first + ((last - first) * i) / Math.max(1, steps - 1)) : 1));

const SPACINGS = {
  trailing: (_, steps) => counted(steps, (i) => 1 - i / steps),
  uniform: (_, steps) => counted(steps, (i) => 1 - (0.999 * i) / Math.max(1, steps - 1)),
  log_snr: (schedule, steps) => equal(schedule, steps, schedule(1), Math.min(10, schedule(1e-4))),
  quadratic: (_, steps) => counted(steps, (i) => (1 - i / steps) ** 2),
  late: (schedule, steps) => equal(schedule, steps, ...LATE),
  leading: (_, steps) => counted(steps, (i) => ((steps - 1 - i) * Math.floor(TRAIN_STEPS / steps) + 1) / TRAIN_STEPS),
};

/** The levels {t, log_snr} that a run visits, the clean one at the end. `times`, if there are any, replace the spacing. */
export const levels = (schedule, steps, spacing, times = []) => {
  const logSnr = SCHEDULES[schedule];
  const visited = times.length ? times : SPACINGS[spacing](logSnr, steps);
  const path = visited.map((t) => ({ t, log_snr: logSnr(t) }));
  if (path.some((level, i) => i > 0 && level.log_snr <= path[i - 1].log_snr)) {
    throw new Error(`times: are so near each other that ${schedule} has the same noise at two of them`);
  }
  return [...path, { t: 0, log_snr: Infinity }];
};
