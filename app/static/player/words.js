// Words: what is said of numbers, of a step and of a view.

const percent = (x) => {
  if (x > 0 && x < 0.0005) return "< 0.1 %";
  return (x >= 0.0995 || x === 0 ? Math.round(100 * x) : (100 * x).toFixed(1)) + " %";
};
const number = (x, digits = 2) => x.toFixed(digits).replace("-", "−");
// A knob turns by tenths, but a run may have been asked for less.
const tenths = (x) => (+x.toFixed(1) === x ? x.toFixed(1) : String(+x.toFixed(3)));

const deed = (track, at, cut) => {
  const outside = percent(track.numbers.outside[at]), s = track.numbers.s[at];
  if (track.rule === "none") return `leaves ${outside} outside ±1`;
  if (track.rule === "static") return `cuts ${outside} flat to ±1`;
  if (s <= 1) return track.rule === "dynamic" ? `s = 1: cuts ${outside}, as static` : `${outside} were outside ±1`;
  return `divides by s = ${number(s)}` + (cut === undefined ? "" : `, cuts ${percent(cut)}`);
};
const weight = (w) => `w = ${+w.toFixed(2)}`;
// What mixed the two estimates. Only the paper's rule is so short that the line can give it.
const mix = (track, at) => {
  const w = weightAt(track, at), name = track.guidance_rule;
  const rule = name === "cfg" ? "cfg, guided = uncond + w (cond − uncond)" : name;
  if (track.w_schedule === "constant") return `rule ${rule}, ${weight(track.w)} at every step`;
  return `rule ${rule}, schedule ${track.w_schedule}` + (w === null ? "" : `, ${weight(w)} at this step`);
};
// Burnt out is |x̂₀| > 0.99. The last step says what became of it all, since by then there is often nothing left to
// threshold.
const verdict = (data, step) => {
  const last = (track) => track.numbers.burnt.at(-1);
  const name = (track) => (track.rule === "none" ? "without a rule" : `under ${track.label}`);
  const text = `Step ${step} of ${data.planned}, the end: `;
  const most = Math.max(...data.tracks.map(last)), whatever = data.tracks.length > 1 ? ", whatever the rule" : "";
  if (most === 0) return `${text}no value is burnt out${whatever}.`;
  if (most < 0.0005) return `${text}fewer than 0.1 % of values are burnt out${whatever}.`;
  const burnt = data.tracks.map((track) => `${percent(last(track))} ${name(track)}`);
  const dynamic = data.tracks.find((track) => track.rule === "dynamic"), divisor = Math.max(...(dynamic?.numbers.s ?? [1]));
  burnt[0] = burnt[0].replace(" %", " % of values are burnt out (|x̂₀| > 0.99)");
  const who = dynamic === data.tracks.at(-1) ? ", which" : "; dynamic";
  const divided = divisor > 1 ? `${who} divided by up to s = ${number(divisor)}` : "";
  return `${text}${burnt.join(", ")}${divided}.`;
};
const sentence = (data, at, step) => {
  if (data.kind === "recording" && step === data.planned) return verdict(data, step);
  const by = Object.fromEntries(data.tracks.map((track) => [track.rule, track]));
  const first = by.none ?? data.tracks[0], outside = first.numbers.outside[at];
  let text = `Step ${step} of ${data.planned}: `;
  if (outside === 0) return text + "every value lies within ±1, so there is nothing to threshold.";
  text += `${percent(outside)} of values lie outside ±1${by.none ? " without a rule" : ""}`;
  if (by.static) text += `; static cuts ${percent(by.static.numbers.outside[at])} flat`;
  if (by.dynamic) {
    const s = by.dynamic.numbers.s[at];
    const flat = `; dynamic has s = 1 and cuts ${percent(by.dynamic.numbers.outside[at])} flat as well`;
    text += s > 1 ? `; dynamic divides by s = ${number(s)}` : flat;
  }
  return text + ".";
};

// What is shown instead of a recording that cannot be unpacked.
const unreadable = (error) => {
  console.warn("player:", error);
  return { kind: "waiting", note: window.DecompressionStream
    ? "This run cannot be played: its recording is damaged."
    : "This browser cannot unpack recorded runs; a newer one can." };
};

const VIEWS = {
  side: "Side by side", wipe: "Wipe", difference: "Difference", mask: "Clip mask", parts: "CFG parts",
};
// What the line under the pictures says of a view; swatch(kind) is a patch of the clip mask.
const legend = (view, track, at, swatch) => ({
  side: () => ["Under each picture: the guided x̂₀ before the rule (√ of counts); solid lines ±1, dashed ±s, in colour what is cut."],
  wipe: () => ["Drag across the picture, or use the slider: the same step and the same noise, under two rules."],
  difference: () => ["Grey is equal; what differs shows as lighter, darker or coloured. Click a picture to compare with it."],
  mask: () => [swatch("high"), "above the limit", swatch("low"), "below it. The limit is ±s for dynamic, and ±1 for the others."],
  parts: () => [`Guidance under ${track.label}, before thresholding: ${mix(track, at)}. All histograms on one scale.`],
})[view]();
