// Sentences about a step, a rule and a view.

import { number, percent } from "./numbers.js";
import { weightAt } from "./values.js";

/** What a rule does at a step; `cut` is the share of values beyond ±s, where the player can count it. */
export const ruleNote = (track, at, cut) => {
  const outside = percent(track.numbers.outside[at]);
  const s = track.numbers.s[at];
  if (track.rule === "none") return `leaves ${outside} outside ±1`;
  if (track.rule === "static") return `cuts ${outside} to ±1`;
  if (s !== null && s <= 1) {
    if (track.rule !== "dynamic") return `${outside} were outside ±1`;
    return track.numbers.outside[at] === 0 ? "s = 1: nothing to do" : `s = 1: cuts ${outside} to ±1`;
  }
  return `divides by s = ${number(s)}${cut === undefined ? "" : `, cuts ${percent(cut)}`}`;
};

/** A guidance weight with at most two digits. */
export const weightText = (w) => `w = ${+w.toFixed(2)}`;

// Only the formula of cfg is short enough for one line.
const mix = (track, at) => {
  const w = weightAt(track, at);
  const name = track.guidance_rule;
  const rule = name === "cfg" ? "cfg = without text + w (with text − without text)" : name;
  if (track.w_schedule === "constant") return `${rule}, ${weightText(track.w)} at every step`;
  return `${rule}, schedule ${track.w_schedule}${w === null ? "" : `, ${weightText(w)} at this step`}`;
};

/** The last step: how much of the result is burnt. By then there is often nothing left to threshold. */
export const verdict = (data) => {
  const shares = data.tracks.map((track) => track.numbers.burnt.at(-1));
  const most = Math.max(...shares);
  if (most === 0) return "No value is burnt at the end.";
  if (most < 0.0005) return "Fewer than 0.1 % of values are burnt at the end.";
  return `Burnt values at the end: ${listed(data, -1)}.`;
};

const listed = ({ tracks }, at) =>
  tracks.map((track) => `${track.label} ${percent(track.numbers.burnt.at(at))}`).join(", ");

/** The step at which the tracks' shares of burnt values lie furthest apart; null where they are the same throughout. */
export const tellingStep = ({ tracks }) => {
  const apart = tracks[0].numbers.burnt.map((_, at) => {
    const shares = tracks.map((track) => track.numbers.burnt[at]);
    return Math.max(...shares) - Math.min(...shares);
  });
  const most = Math.max(...apart);
  return most > 0 ? apart.indexOf(most) : null;
};

const progress = (data, at) => {
  const byRule = Object.fromEntries(data.tracks.map((track) => [track.rule, track]));
  const outside = (byRule.none ?? data.tracks[0]).numbers.outside[at];
  if (outside === 0) return "Every value lies within ±1, so no rule has anything to do.";
  const facts = [`${percent(outside)} of values lie outside ±1${byRule.none ? " without a rule" : ""}.`];
  if (byRule.static) facts.push(`Static cuts ${percent(byRule.static.numbers.outside[at])}.`);
  if (byRule.dynamic) {
    const { s, outside } = byRule.dynamic.numbers;
    const divides = s[at] === null || s[at] > 1;
    facts.push(
      divides ? `Dynamic divides by s = ${number(s[at])}.` : `Dynamic has s = 1 and cuts ${percent(outside[at])}.`,
    );
  }
  return facts.join(" ");
};

/** The sentence under the pictures; `step` counts from 1. */
export const sentence = (data, at, step) => {
  const here = `Step ${step} of ${data.planned}`;
  if (data.kind === "recording" && step === data.planned) return `${here}. ${verdict(data)}`;
  if (at === data.telling) return `${here}, where the rules differ most. Burnt values: ${listed(data, at)}.`;
  return `${here}. ${progress(data, at)}`;
};

/** The views, by key. */
export const VIEWS = {
  side: "Side by side",
  wipe: "Wipe",
  difference: "Difference",
  mask: "Clip mask",
  parts: "Guidance",
};

/**
 * What the line under the pictures says of a view, in parts; swatch(kind) is a patch of the clip mask, and `burnt` the
 * limit beyond which a value is burnt.
 */
export const legend = (view, track, at, swatch, burnt) => {
  const lines = {
    side: () => [
      "Histograms: pixel values before the rule. Coloured bars get cut. Solid lines: ±1, the range of a screen. ",
      `Dashed lines: ±s. Burnt: beyond ±${burnt} after the rule.`,
    ],
    wipe: () => ["Drag across the picture, or use the slider. Both sides show the same step from the same noise."],
    difference: () => ["Grey means equal. Click a picture to compare the others with it."],
    mask: () => [
      swatch("high"),
      "too high",
      swatch("low"),
      "too low. The limit is ±s for dynamic, ±1 for other rules.",
    ],
    parts: () => [`Guidance under ${track.label}, before thresholding: ${mix(track, at)}. Histograms share one scale.`],
  };
  return lines[view]();
};
