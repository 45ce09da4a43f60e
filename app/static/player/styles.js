// How a rule is drawn: Python's styles (imagen_core/records/styles.py) in terms of SVG.

import { v } from "./dom.js";

// By matplotlib's names of dashes and markers.
const DASHES = { "-": "", "--": "7 4", ":": "1.5 3.5", "-.": "8 3 2 3" };
const MARKERS = {
  o: "M0-4A4 4 0 1 0 0 4A4 4 0 1 0 0-4Z",
  s: "M-3.6-3.6H3.6V3.6H-3.6Z",
  "^": "M0-4.8L4.4 3.2H-4.4Z",
  D: "M0-5L5 0L0 5L-5 0Z",
};

/** A rule's colour (a custom property of CSS), stroke-dasharray and marker path; unknown rules share one style. */
export const styleOf = (rule, styles) => {
  const name = Object.hasOwn(styles, rule) ? rule : "other";
  return { colour: `var(--lab-${name})`, dash: DASHES[styles[name].dash], marker: MARKERS[styles[name].marker] };
};

/** The marker of a style as a small picture. */
export const mark = ({ marker }) =>
  v("svg", { class: "pl-mark", viewBox: "-6 -6 12 12", "aria-hidden": "true" }, v("path", { d: marker }));

/** The channels of a pixel: name and colour. */
export const CHANNELS = [
  ["R", "var(--lab-none)"],
  ["G", "var(--lab-dynamic)"],
  ["B", "var(--lab-static)"],
];
