// A chart of lines over the steps of a run.

import { v } from "./dom.js";
import { sizeOf } from "./histogram.js";

export const linear = (value) => value;

/** Linear within ±1, where pictures are, and logarithmic beyond. */
export const symlog = (value) => (Math.abs(value) <= 1 ? value : Math.sign(value) * (1 + Math.log(Math.abs(value))));

const MARGIN = { left: 42, right: 14, top: 8, bottom: 16 };
// Names of lines that end in one place stand this many pixels below each other.
const LEADING = 13;

/** Pixels from steps and values: x(step), y(value), and stepAt(pixels from the left). */
export const scalesOf = (width, height, planned, ticks, place) => {
  const [left, right, top, bottom] = [MARGIN.left, width - MARGIN.right, MARGIN.top, height - MARGIN.bottom];
  const low = place(ticks[0]);
  const high = place(ticks.at(-1));
  const share = (pixels) => Math.max(0, Math.min(1, (pixels - left) / (right - left)));
  return {
    left,
    right,
    top,
    bottom,
    x: (step) => left + (right - left) * (planned > 1 ? (step - 1) / (planned - 1) : 0.5),
    y: (value) => bottom - ((bottom - top) * (place(value) - low)) / (high - low),
    stepAt: (pixels) => 1 + share(pixels) * (planned - 1),
  };
};

/** Heights in rising order, moved so that each lies LEADING below the one before; takes and returns [{ y, … }]. */
export const spread = (labels) => {
  const sorted = [...labels].sort((a, b) => a.y - b.y);
  for (let i = 1; i < sorted.length; i++) {
    sorted[i] = { ...sorted[i], y: Math.max(sorted[i].y, sorted[i - 1].y + LEADING) };
  }
  return sorted;
};

const axes = ({ x, y, left, right, top, bottom }, height, { steps, planned, at, ticks, show, band }) => {
  const nodes = [];
  if (band) {
    nodes.push(v("rect", { class: "pl-band", x: left, width: right - left, y: y(1), height: y(-1) - y(1) }));
  }
  for (const value of ticks) {
    nodes.push(v("line", { class: "pl-grid", x1: left, x2: right, y1: y(value), y2: y(value) }));
    nodes.push(v("text", { x: left - 5, y: y(value) + 3.5, "text-anchor": "end" }, show(value)));
  }
  nodes.push(v("text", { x: left, y: height - 3 }, "1"));
  nodes.push(v("text", { x: right, y: height - 3, "text-anchor": "end" }, planned));
  if (at >= 0) {
    const here = x(steps[at]);
    nodes.push(v("line", { class: "pl-cursor", x1: here, x2: here, y1: top - 4, y2: bottom }));
  }
  return nodes;
};

/** Draws lines [{ values, colour, dash, marker, label, thin }] and returns stepAt(clientX).
 *
 * x runs over the planned steps, and the cursor stands at `at`. `place` maps a value to the axis, `show` gives its text;
 * `band` marks ±1.
 */
export const drawLines = (svg, lines, chart) => {
  const { steps, planned, at, ticks, place } = chart;
  const [width, height] = sizeOf(svg);
  const scales = scalesOf(width, height, planned, ticks, place);
  const { x, y } = scales;
  const groups = lines.map(({ values, colour, dash, marker, thin }) => {
    const points = values.map((value, i) => `${x(steps[i]).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    const group = v("g", { style: `--rule:${colour}` });
    group.append(v("polyline", { points, "stroke-dasharray": dash, class: thin ? "pl-thin" : "" }));
    if (at >= 0 && marker) {
      const transform = `translate(${x(steps[at]).toFixed(1)} ${y(values[at]).toFixed(1)})`;
      group.append(v("path", { class: "pl-dot", d: marker, transform }));
    }
    return group;
  });
  const ends = lines.flatMap(({ values, label }, i) => {
    return label ? [{ i, label, x: x(steps[values.length - 1]) + 4, y: y(values.at(-1)) + 4 }] : [];
  });
  for (const end of spread(ends)) groups[end.i].append(v("text", { class: "pl-end", x: end.x, y: end.y }, end.label));
  svg.replaceChildren(...axes(scales, height, chart), ...groups);
  return (clientX) => scales.stepAt(clientX - svg.getBoundingClientRect().left);
};
