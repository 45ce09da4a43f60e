// The curves under the pictures: one number of all tracks over the steps in each.

import { h, v } from "./dom.js";
import { drawLines, linear } from "./lines.js";
import { number, percent } from "./numbers.js";
import { mark } from "./styles.js";

// floor: where the axis begins; room: how far it reaches at least.
const CURVES = [
  { name: "s", title: "s, the divisor", place: Math.log, floor: 1, room: 0.5, show: number },
  { name: "outside", title: "|x̂₀| > 1 before the rule", place: linear, floor: 0, room: 0.05, show: percent },
  { name: "colourfulness", title: "colourfulness (HSV)", place: linear, floor: 0, room: 0.2, show: number },
  { name: "contrast", title: "contrast", place: linear, floor: 0, room: 0.1, show: number },
];

/** Ticks at the floor, the middle and the largest value of an axis; the middle is geometric where the axis is. */
export const ticksOf = ({ floor, room, place }, values) => {
  const most = Math.max(floor + room, ...values);
  return [floor, place === Math.log ? Math.sqrt(floor * most) : (floor + most) / 2, most];
};

/** Which of the recorded steps is closest to a step; both count from 1. */
export const closest = (steps, step) => {
  const distances = steps.map((recorded) => Math.abs(recorded - step));
  return distances.indexOf(Math.min(...distances));
};

/** The curves; seek(step) is called when a chart is clicked, with a step that counts from 1. */
export class Curves {
  constructor(seek) {
    this.curves = CURVES.map((curve) => {
      const chart = v("svg", { class: "pl-curve", role: "img", "aria-label": `${curve.title} over the steps` });
      const values = h("span", { class: "pl-values" });
      const figure = h("figure", {}, h("figcaption", {}, curve.title, values), chart);
      const self = { ...curve, chart, values, figure, stepAt: null };
      chart.addEventListener("click", (event) => seek(self.stepAt(event.clientX)));
      chart.addEventListener("pointermove", (event) => {
        if (event.buttons) seek(self.stepAt(event.clientX));
      });
      return self;
    });
    this.element = h("div", { class: "pl-curves" }, ...this.curves.map((curve) => curve.figure));
  }

  draw(data, at) {
    const steps = data.steps?.map((x) => x.step) ?? data.tracks[0].numbers.s.map((_, i) => i + 1);
    for (const curve of this.curves) {
      const lines = data.tracks.map((track) => ({ ...track.style, values: track.numbers[curve.name] }));
      const ticks = ticksOf(
        curve,
        lines.flatMap((line) => line.values),
      );
      const { place, show } = curve;
      curve.stepAt = drawLines(curve.chart, lines, { ticks, place, show, steps, planned: data.planned, at });
      const current = ({ style, label, numbers }) =>
        h("span", { style: `--rule:${style.colour}`, title: label }, mark(style), show(numbers[curve.name][at]));
      curve.values.replaceChildren(...data.tracks.map(current));
    }
  }
}
