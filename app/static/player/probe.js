// The probe: one pixel over all steps. It keeps its place from run to run.

import { h, v } from "./dom.js";
import { drawLines, symlog } from "./lines.js";
import { number } from "./numbers.js";
import { CHANNELS } from "./styles.js";
import { rawAt, valueAt } from "./values.js";

const HINT = "Click a picture, or focus one and use the arrow keys. Dotted: raw x̂₀. Solid: after the rule.";

/** The pixel [x, y] with the largest |value| among raw values [3 × size × size]: there is something to see. */
export const largestPixel = (raw, size) => {
  let [place, most] = [0, 0];
  raw.forEach((x, i) => {
    if (Math.abs(x) > most) [most, place] = [Math.abs(x), i % (size * size)];
  });
  return [place % size, Math.floor(place / size)];
};

/** Values of a pixel at all steps, by channel: [{ raw, kept }]. */
export const pixelValues = (data, track, [x, y]) => {
  const n = data.size ** 2;
  return CHANNELS.map((_, c) => {
    const i = c * n + y * data.size + x;
    return {
      raw: data.steps.map((_, at) => track.raw[at * data.length + i]),
      kept: data.steps.map((_, at) => valueAt(data, track, at, i)),
    };
  });
};

export class Probe {
  constructor() {
    this.pixel = null;
  }

  lay() {
    this.title = h("h3");
    const label = "Raw and kept value of the pixel over the steps";
    this.chart = v("svg", { class: "pl-curve pl-probe-chart", role: "img", "aria-label": label });
    this.table = h("tbody");
    const heads = [h("td"), ...CHANNELS.map(([name]) => h("th", { scope: "col" }, name))];
    return h(
      "details",
      { class: "pl-tool" },
      h("summary", {}, this.title),
      h("p", { class: "pl-hint" }, HINT),
      this.chart,
      h("table", {}, h("thead", {}, h("tr", {}, ...heads)), this.table),
    );
  }

  start(data) {
    if (this.pixel && Math.max(...this.pixel) < data.size) return;
    this.pixel = largestPixel(rawAt(data, data.tracks[0], data.steps.length - 1), data.size);
  }

  move(data, x, y) {
    this.pixel = [x, y].map((place) => Math.max(0, Math.min(data.size - 1, Math.floor(place))));
  }

  /** Puts a frame around the pixel in a picture. */
  place(frame, { size }) {
    const [x, y] = this.pixel.map((place) => `${(100 * place) / size}%`);
    frame.style.cssText = `left:${x};top:${y};width:${100 / size}%;height:${100 / size}%`;
  }

  draw(data, at, track) {
    const channels = pixelValues(data, track, this.pixel);
    const lines = channels.flatMap(({ raw, kept }, c) => {
      const [label, colour] = CHANNELS[c];
      return [
        { values: raw, colour, dash: "1 3", thin: true },
        { values: kept, colour, dash: "", label },
      ];
    });
    const most = Math.max(1.6, ...lines.flatMap((line) => line.values.map(Math.abs)));
    this.title.textContent = `Pixel ${this.pixel.join(", ")} under ${track.label}`;
    drawLines(this.chart, lines, {
      ticks: [-most, -1, 0, 1, most],
      place: symlog,
      show: (value) => number(value, 1),
      steps: data.steps.map((step) => step.step),
      planned: data.planned,
      at,
      band: true,
    });
    const cell = (value) => h("td", { "data-value": value }, number(value, 3));
    const row = (name) => h("tr", {}, h("th", { scope: "row" }, name), ...channels.map((one) => cell(one[name][at])));
    this.table.replaceChildren(row("raw"), row("kept"));
  }
}
