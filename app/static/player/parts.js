// How guidance adds up: the estimate with text, the one without, their difference, and the mix.

import { h, v } from "./dom.js";
import { drawHistogram } from "./histogram.js";
import { number } from "./numbers.js";
import { paint, picture } from "./pictures.js";
import { histogram, rawAt, share, weightAt } from "./values.js";
import { weightText } from "./words.js";

/** The power of 2 that makes a faint difference fill half the range; late in a run it is faint. */
export const gainOf = (delta) => {
  const mean = Math.max(1e-3, share(delta, Math.abs) * 4);
  return 2 ** Math.max(0, Math.floor(-1 - Math.log2(mean)));
};

/** The four pictures of a step, [{ title, value(i), plotted }]; value is null where there is nothing to show. */
export const partsAt = (data, track, at) => {
  const [begin, end] = [at * data.length, (at + 1) * data.length];
  const raw = rawAt(data, track, at);
  const cond = track.cond?.subarray(begin, end);
  const delta = track.unguided?.includes(at) ? null : track.delta?.subarray(begin, end);
  const gain = delta ? gainOf(delta) : 1;
  const w = weightAt(track, at);
  const why = w === 1 ? "not evaluated at w = 1" : "not in this recording";
  const by = track.guidance_rule === "cfg" ? "" : ` by ${track.guidance_rule}`;
  const difference = gain > 1 ? `with − without, × ${gain}` : "with − without";
  return [
    cond
      ? { title: "with text", value: (i) => cond[i], plotted: true }
      : { title: "with text: not in this recording", value: null, plotted: false },
    delta
      ? { title: "without text", value: (i) => cond[i] - delta[i], plotted: true }
      : { title: `without text: ${why}`, value: null, plotted: false },
    delta
      ? { title: difference, value: (i) => gain * delta[i], plotted: false }
      : { title: `difference: ${why}`, value: null, plotted: false },
    { title: `guided${by}${w === null ? "" : `, ${weightText(w)}`}`, value: (i) => raw[i], plotted: true },
  ];
};

export class Parts {
  lay() {
    this.places = ["with text", "without text", "difference", "guided"].map((name) => {
      const chart = v("svg", { class: "pl-histogram", role: "img" });
      return { name, note: h("figcaption"), chart, ...picture(name) };
    });
    const figures = this.places.map(({ note, box, chart }) => h("figure", {}, note, box, chart));
    return h("div", { class: "pl-parts" }, ...figures);
  }

  draw(data, at, track) {
    const n = data.size ** 2;
    // One scale for all shows how far guidance stretches what lay within ±1.
    const most = Math.max(1, track.numbers.largest[at]);
    partsAt(data, track, at).forEach(({ title, value, plotted }, k) => {
      const { name, note, box, canvas, chart } = this.places[k];
      note.textContent = title;
      box.classList.toggle("pl-missing", !value);
      paint(canvas, data.size, (i, c) => value?.(c * n + i) ?? 0);
      chart.setAttribute("aria-label", `Histogram of ${name} from −${number(most)} to ${number(most)}`);
      chart.style.visibility = plotted ? "" : "hidden";
      const values = Float32Array.from({ length: data.length }, (_, i) => (plotted ? value(i) : 0));
      drawHistogram(chart, histogram(values, most), most, 1, 1);
    });
  }
}
