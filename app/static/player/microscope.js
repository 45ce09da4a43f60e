// The microscope: one stored step under other rules and settings.

import { h, radios, v } from "./dom.js";
import { drawHistogram } from "./histogram.js";
import { percent, tenths } from "./numbers.js";
import { paint, paintMask, picture } from "./pictures.js";
import { keep, RULES, sorted } from "./rules.js";
import { histogram, rawAt, share } from "./values.js";

// The slider's right end stands for no cap.
const MOST_CAP = 10;
const IDLE = " The percentile lies within ±1, so dynamic cuts like static. Earlier steps show more.";

/** What a rule does to raw values: s, the share cut, and the share burnt afterwards. */
export const outcome = (raw, ranked, { rule, percentile, cap }, limit) => {
  const s = RULES[rule](ranked, percentile, cap);
  return {
    s,
    cut: share(raw, (x) => Math.abs(x) > s),
    burnt: share(raw, (x) => Math.abs(keep(rule, x, s)) > limit),
  };
};

/** The rule in front where the player knows it, and the run's own settings of dynamic. */
export const settingsOf = (tracks, front) => {
  const { percentile, cap } = tracks.find((track) => track.rule === "dynamic") ?? front;
  return { rule: Object.hasOwn(RULES, front.rule) ? front.rule : "dynamic", percentile, cap };
};

export class Microscope {
  /** changed() is called when a knob turns; a value is burnt beyond `burnt`. */
  constructor(changed, burnt) {
    this.changed = changed;
    this.burnt = burnt;
    this.set = { rule: "dynamic", percentile: 100, cap: null };
  }

  turn(change) {
    this.set = { ...this.set, ...change };
    this.sync();
    this.changed();
  }

  lay() {
    const names = Object.fromEntries(Object.keys(RULES).map((rule) => [rule, rule]));
    this.rules = radios("Rule in the microscope", names, this.set.rule, (rule) => this.turn({ rule }));
    this.percentile = this.knob("Percentile", 50, 100, (percentile) => ({ percentile }));
    this.cap = this.knob("Cap on s", 1, MOST_CAP, (cap) => ({ cap: cap >= MOST_CAP ? null : cap }));
    this.picture = picture("This step under the microscope's rule");
    this.mask = picture("What the microscope's rule cuts");
    this.chart = v("svg", { class: "pl-histogram", role: "img", "aria-label": "Histogram of this step" });
    this.words = h("p", { class: "pl-micro-words", role: "status" });
    this.title = h("h3");
    const only = h("b", {}, "This step only:");
    return h(
      "details",
      { class: "pl-tool pl-micro" },
      h("summary", {}, this.title),
      h("p", { class: "pl-hint" }, "Change the rule on this stored x̂₀. ", only, " later steps are not run again."),
      h("div", { class: "pl-knobs" }, this.rules, this.percentile.row, this.cap.row),
      h("div", { class: "pl-micro-show" }, this.picture.box, this.mask.box, this.chart),
      this.words,
    );
  }

  knob(name, min, max, change) {
    const output = h("output");
    const oninput = () => this.turn({ ...change(+input.value), rule: "dynamic" });
    const input = h("input", { type: "range", min, max, step: 0.1, "aria-label": name, oninput });
    return { input, output, row: h("label", { class: "pl-knob" }, h("span", {}, name), input, output) };
  }

  /** Begins with the rule of the card in front, so that the first s is that card's. */
  start(data, track) {
    this.set = settingsOf(data.tracks, track);
    this.sync();
  }

  sync() {
    const { rule, percentile, cap } = this.set;
    for (const input of this.rules.querySelectorAll("input")) input.checked = input.value === rule;
    this.percentile.input.value = percentile;
    this.percentile.output.textContent = tenths(percentile);
    this.cap.input.value = cap ?? MOST_CAP;
    this.cap.output.textContent = cap === null ? "none" : tenths(cap);
  }

  draw(data, at, track) {
    const n = data.size ** 2;
    const raw = rawAt(data, track, at);
    // Sorting takes longest, and most draws are of the step before.
    if (this.ranked?.track !== track || this.ranked.at !== at) this.ranked = { track, at, values: sorted(raw) };
    const { rule } = this.set;
    const { s, cut, burnt } = outcome(raw, this.ranked.values, this.set, this.burnt);
    const most = Math.max(1, this.ranked.values.at(-1));
    for (const { canvas } of [this.picture, this.mask]) {
      paint(canvas, data.size, (i, c) => keep(rule, raw[c * n + i], s));
    }
    paintMask(this.mask.mask, data.size, raw, s);
    drawHistogram(this.chart, histogram(raw, most), most, s, s);
    this.title.textContent = `Microscope: step ${data.steps[at].step} of the run under ${track.label}`;
    const shares = `${percent(cut)} of values lie beyond it; ${percent(burnt)} end up burnt (|x̂₀| > ${this.burnt}).`;
    this.words.textContent = `Under ${rule}: s = ${s.toFixed(3)}; ${shares}${rule === "dynamic" && s <= 1 ? IDLE : ""}`;
    Object.assign(this.words.dataset, { s, cut, burnt });
  }
}
