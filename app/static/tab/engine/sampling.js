// A run, as imagen_core/run/generate.py and diffusion/samplers.py order it. All arithmetic of a step is in graphs.

import { batch, number, rows } from "./graphs.js";
import { unitNoise } from "./noise.js";
import { filledIn, isOff, plan } from "./plan.js";

// Side by side runs share a batch up to this size; larger ones take turns, to save memory.
const MOST_SHARED = 64;

/** Thrown where a run was told to stop. */
export class Stopped extends Error {}

/** A picture as a screen shows it: RGBA of each pixel from planes of values in [-1, 1]. */
export const pixelsOf = (image) => {
  const length = image.length / 3;
  // This kind of array rounds and limits as the engine's records/frames.py does.
  const pixels = new Uint8ClampedArray(4 * length).fill(255);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < length; i++) pixels[4 * i + channel] = (image[channel * length + i] + 1) * 127.5;
  }
  return pixels;
};

const clipped = (image) => image.map((x) => Math.min(1, Math.max(-1, x)));
const repeated = (value, count) => Array.from({ length: count }, () => value);

/** A stage's graphs as one function from z's to estimates: {cond, uncond}, one a z; uncond is null without guidance. */
const estimator = async ({ ort, open, spec, context, lowRes, augLevel }) => {
  const network = await open.graph(spec.graphs.network);
  const call = async (zs, places, logSnr, guided) => {
    const branches = guided ? [0, 1] : [0];
    const numbers = branches.flatMap((branch) => repeated(branch, zs.length));
    const inputs = Object.fromEntries(Object.entries(context).map(([name, x]) => [name, rows(ort, x, numbers)]));
    inputs.z = batch(
      ort,
      branches.flatMap(() => zs),
      spec.size,
    );
    inputs.log_snr = number(ort, logSnr, "float32");
    if (lowRes) {
      inputs.low_res = batch(
        ort,
        branches.flatMap(() => places.map((i) => lowRes[i])),
        spec.size,
      );
      inputs.aug_level = number(ort, augLevel, "float32");
    }
    const { x0 } = await network(inputs);
    const each = x0.data.length / numbers.length;
    const part = (row) => x0.data.subarray(row * each, (row + 1) * each);
    return zs.map((_, i) => ({ cond: part(i), uncond: guided ? part(zs.length + i) : null }));
  };
  return async (zs, logSnr, guided) => {
    // At the first step runs side by side have the same z, and need one estimate.
    const shared = !lowRes && zs.every((z) => z === zs[0]);
    if (shared) return repeated((await call(zs.slice(0, 1), [0], logSnr, guided))[0], zs.length);
    if (spec.size <= MOST_SHARED) return call(zs, [...zs.keys()], logSnr, guided);
    const found = [];
    for (const [i, z] of zs.entries()) found.push(...(await call([z], [i], logSnr, guided)));
    return found;
  };
};

/** What a rule makes of two estimates: raw, kept and the engine's numbers. */
const limited = async ({ ort, open, manifest, side }, rule, { cond, uncond }, w, percentile) => {
  const apply = await open.graph(manifest.rules.threshold[rule]);
  // Without guidance both estimates are the one with text, which cfg then returns as it is.
  const out = await apply({
    cond: batch(ort, [cond], side),
    uncond: batch(ort, [uncond ?? cond], side),
    w: number(ort, w, "float32"),
    percentile: number(ort, percentile),
  });
  const numbers = Object.fromEntries(manifest.rules.numbers.map((name) => [name, out[name].data[0]]));
  return { rule, raw: out.raw.data, kept: out.hat.data, cond, uncond, numbers };
};

/** z at the next level. */
const moved = async ({ ort, open, manifest, side }, sampler, z, kept, levels, past) => {
  const { first, second } = manifest.rules.sampler[sampler];
  const [now, next] = levels;
  const looksBack = second && past && Number.isFinite(next);
  const step = await open.graph(looksBack ? second : first);
  const inputs = {
    z: batch(ort, [z], side),
    hat: batch(ort, [kept], side),
    now: number(ort, now),
    next: number(ort, next),
  };
  if (looksBack) {
    inputs.hat_before = batch(ort, [past.kept], side);
    inputs.before = number(ort, past.now);
  }
  return (await step(inputs)).z_next.data;
};

/** The noised pictures that a super-resolution stage is given; null for a base. */
const lowResOf = async ({ ort, open, spec, seed }, images, augLevel) => {
  if (spec.low_res_size === null) return null;
  const noise = unitNoise(seed, `${spec.name}/augmentation`, 3 * spec.size ** 2);
  const make = await open.graph(spec.graphs.low_res);
  const made = [];
  for (const image of images) {
    const side = Math.sqrt(image.length / 3);
    const inputs = {
      image: batch(ort, [image], side),
      aug_level: number(ort, augLevel),
      noise: batch(ort, [noise], spec.size),
    };
    made.push((await make(inputs)).low_res.data);
  }
  return made;
};

/** One stage under each of the rules; yields its plan, a frame a step, and its pictures. */
async function* stage(
  engine,
  { config, levels, weights, rows: planned },
  { spec, tokens, seed, rules, images, pause },
) {
  const { ort, open, manifest } = engine;
  const began = performance.now();
  yield { type: "planned", stage: spec.name, size: spec.size, steps: weights.length, levels, weights, rows: planned };
  await pause();
  const context = await (await open.graph(spec.graphs.context))({ tokens });
  const lowRes = await lowResOf({ ort, open, spec, seed }, images, config.aug_level);
  const estimate = await estimator({ ort, open, spec, context, lowRes, augLevel: config.aug_level });
  const about = { ort, open, manifest, side: spec.size };
  const noise = unitNoise(seed, spec.name, 3 * spec.size ** 2);
  let zs = rules.map(() => noise);
  let past = null;
  for (const [index, w] of weights.entries()) {
    await pause();
    const start = performance.now();
    const [now, next] = [levels[index].log_snr, levels[index + 1].log_snr];
    const estimates = await estimate(zs, now, !isOff(w));
    const tracks = [];
    for (const [i, rule] of rules.entries()) {
      tracks.push(await limited(about, rule, estimates[i], w, config.options.percentile));
    }
    const after = [];
    for (const [i, { kept }] of tracks.entries()) {
      after.push(await moved(about, config.sampler, zs[i], kept, [now, next], past?.[i]));
    }
    zs = after;
    past = tracks.map(({ kept }) => ({ kept, now }));
    const seconds = (performance.now() - start) / 1000;
    yield {
      type: "frame",
      stage: spec.name,
      size: spec.size,
      index,
      planned: weights.length,
      ...levels[index],
      w,
      seconds,
      tracks,
    };
  }
  const seconds = (performance.now() - began) / 1000;
  yield {
    type: "result",
    stage: spec.name,
    size: spec.size,
    seconds,
    rules,
    images: past.map(({ kept }) => clipped(kept)),
  };
}

/**
 * A request (check it first), under each of the `rules`, or its own where that is null. `images`, one a rule, skip the
 * stages up to their size. `engine` has ort, manifest, open (graphs.js) and read (language.js); `pause()` is awaited
 * before each step, and before graphs are opened; it may throw Stopped.
 */
export async function* sample(engine, request, { rules = null, images = null, pause = async () => {} } = {}) {
  const { manifest } = engine;
  const size = images ? Math.sqrt(images[0].length / 3) : 0;
  const left = request.stages.filter((each) => each.size > size);
  await pause();
  const tokens = await engine.read(request.prompt);
  let current = images;
  for (const each of left) {
    const made = plan(each, manifest);
    const spec = manifest.stages.find((stage) => stage.size === each.size);
    const own = filledIn(each, manifest).threshold;
    // Rules side by side are the base's; what follows takes its own, for each of the pictures.
    const chosen = spec.low_res_size === null ? (rules ?? [own]) : current.map(() => own);
    for await (const event of stage(engine, made, {
      spec,
      tokens,
      seed: request.seed ?? 0,
      rules: chosen,
      images: current,
      pause,
    })) {
      if (event.type === "result") current = event.images;
      yield event;
    }
  }
}
