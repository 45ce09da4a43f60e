// The histogram under a picture, drawn at the size it is shown in, so that text keeps its own size.

import { v } from "./dom.js";
import { number } from "./numbers.js";

export const sizeOf = (svg) => [svg.clientWidth || 200, svg.clientHeight || 90];

// The side of the charts' letters, in pixels; projector mode has larger ones.
const lettersOf = (svg) => Number.parseFloat(getComputedStyle(svg).getPropertyValue("--pl-letters")) || 12;

// An s this close to 1 is drawn as 1.
const VISIBLE = 1.005;
// Lines closer than this many letters need labels that stand apart, or one for both.
const NEAR = 2.2;

/** Paths of the bars inside and outside ±cutAt, from `base` up to `ceiling`; counts over [-most, most], heights are √. */
export const bars = (counts, most, cutAt, width, base, ceiling = 14) => {
  const tallest = Math.sqrt(Math.max(...counts, 1));
  const bar = width / counts.length;
  const paths = { inside: "", outside: "" };
  counts.forEach((count, i) => {
    if (!count) return;
    const centre = (((i + 0.5) / counts.length) * 2 - 1) * most;
    const top = Math.min(base - 1, base - ((base - ceiling) * Math.sqrt(count)) / tallest);
    const side = Math.abs(centre) > cutAt ? "outside" : "inside";
    paths[side] += `M${(i * bar).toFixed(1)} ${base}V${top.toFixed(1)}h${Math.max(bar - 0.6, 0.6).toFixed(2)}V${base}z`;
  });
  return paths;
};

const text = (x, y, words, anchor = "middle", kind = "") =>
  v("text", { x, y, "text-anchor": anchor, class: kind }, words);

/** Draws counts over [-most, most] with lines at ±1 and ±s; bars beyond ±cutAt are coloured. */
export const drawHistogram = (svg, counts, most, s, cutAt) => {
  const [width, height] = sizeOf(svg);
  const letters = lettersOf(svg);
  const base = height - letters - 3;
  const x = (value) => ((value + most) / (2 * most)) * width;
  const within = (at) => Math.max(8, Math.min(width - 8, at));
  const scaled = s > VISIBLE;
  const apart = scaled && x(s) - x(1) < NEAR * letters ? 8 : 0;
  const paths = bars(counts, most, cutAt, width, base, letters + 2);
  const lines = [];
  for (const [value, kind] of [[1, "one"], ...(scaled ? [[s, "scale"]] : [])]) {
    for (const at of [-value, value]) {
      lines.push(v("line", { class: `pl-${kind}`, x1: x(at), x2: x(at), y1: letters - 1, y2: base }));
    }
  }
  const words = [text(1, height - 3, `−${number(most)}`, "start"), text(width - 1, height - 3, number(most), "end")];
  if (width > 90) {
    words.push(text(width / 2, height - 3, "0"));
    if (x(1) - x(-1) < NEAR * letters) words.push(text(x(0), letters - 3, "±1"));
    else words.push(text(within(x(1) - apart), letters - 3, "1"), text(within(x(-1) + apart), letters - 3, "−1"));
  }
  if (scaled) {
    words.push(text(within(x(s) + apart), letters - 3, "s", "middle", "pl-s"));
    words.push(text(within(x(-s) - apart), letters - 3, "−s", "middle", "pl-s"));
  }
  svg.replaceChildren(
    v("path", { class: "pl-inside", d: paths.inside }),
    v("path", { class: "pl-outside", d: paths.outside }),
    v("line", { class: "pl-axis", x1: 0, x2: width, y1: base, y2: base }),
    ...lines,
    ...words,
  );
};
