// The controls of a run: they hold what ask.js calls asked, and tell of each change by the setting's name.

import { h } from "../player/dom.js";
import { optionsOf } from "./ask.js";
import { list, prose, slider, whole, words } from "./fields.js";
import { unknownWords } from "./known.js";

const BASE = 64;
// How a slider moves, by the setting.
const STEPS = { guidance: 0.25, percentile: 0.1, steps: 1, aug_level: 0.01 };
// The lists of few visitors.
const LISTS = { sampler: "Sampler", spacing: "Spacing", schedule: "Noise schedule" };
// Options of when to guide: how their sliders are named.
const BAND = {
  until: ["Until log SNR", "then guidance is off"],
  low: ["From log SNR", "guidance is off below"],
  high: ["To log SNR", "and off above"],
  hold: ["Held for", "the share of steps before it alternates"],
  rest: ["Low weight", "every second step"],
};

const MOST_SHOWN = 8;

export class Controls {
  /** asked: what they hold at first; changed(name, dragged); entered(): Enter in the prompt. */
  constructor({ given, asked, changed, entered }) {
    Object.assign(this, { given, asked, changed });
    this.known = given.words.known && new Set(given.words.known);
    this.lay(entered);
    this.show(asked);
  }

  get base() {
    return this.asked.stages[BASE];
  }

  slider(name, label, info, stage = () => this.base, option = false) {
    return slider({
      label,
      info,
      range: this.given.ranges[name],
      step: STEPS[name] ?? 0.25,
      changed: (value, dragged) => {
        const own = stage();
        if (option) own.options[name] = value;
        else own[name] = value;
        this.changed(name, dragged);
      },
    });
  }

  list(name, label) {
    const entries = this.given.choices[name];
    const changed = (value) => {
      this.base[name] = value;
      this.drawBand();
      this.changed(name, false);
    };
    return list({ label, entries, changed });
  }

  lay(entered) {
    const { given } = this;
    const set = (name) => (value) => {
      this.asked[name] = value;
      if (name === "prompt") this.drawWords();
      this.changed(name, false);
    };
    const roll = () => {
      const seed = Math.floor(Math.random() * (given.ranges.seed[1] + 1));
      this.fields.seed.show(seed);
      set("seed")(seed);
    };
    const dice = h("button", { type: "button", class: "tab-plain", onclick: roll }, "New seed");
    const pick = (value) => {
      this.base.threshold = value;
      this.changed("threshold", false);
    };
    this.fields = {
      prompt: prose({ label: "Prompt", most: given.most_prompt, changed: set("prompt"), entered }),
      guidance: this.slider("guidance", "Guidance weight w", "1 is off, 5 usual, 20 strong"),
      w_schedule: this.list("w_schedule", "When to guide"),
      threshold: words({ label: "Which picture to enlarge", info: "", entries: given.rules, changed: pick }),
      percentile: this.slider("percentile", "Percentile", "of |x̂₀|; dynamic divides by it", undefined, true),
      seed: whole({ label: "Seed", range: given.ranges.seed, changed: set("seed") }, dice),
      steps: this.slider("steps", "Steps", "of the 64 × 64 stage"),
      ...Object.fromEntries(Object.entries(LISTS).map(([name, label]) => [name, this.list(name, label)])),
    };
    this.levels = Object.fromEntries(
      given.sizes.slice(1).map((size) => {
        const stage = () => this.asked.stages[size];
        return [size, this.slider("aug_level", `aug_level of SR ${size}`, "noise on its input", stage)];
      }),
    );
    this.band = h("div", { class: "tab-band" });
    this.note = h("div", { class: "tab-words", hidden: true });
  }

  /** Shows what a run asks for. */
  show(asked) {
    this.asked = asked;
    const { base, fields } = this;
    fields.prompt.show(asked.prompt);
    fields.seed.show(asked.seed);
    fields.percentile.show(base.options.percentile);
    for (const name of ["guidance", "threshold", "steps", "w_schedule", ...Object.keys(LISTS)]) {
      fields[name].show(base[name]);
    }
    for (const [size, field] of Object.entries(this.levels)) field.show(asked.stages[size].aug_level);
    this.drawBand();
    this.drawWords();
  }

  /** The options of the chosen schedule of w. */
  drawBand() {
    const { base, given } = this;
    const own = given.choices.w_schedule[base.w_schedule]?.options ?? {};
    const sliders = Object.keys(own).map((name) => {
      const field = this.slider(name, ...(BAND[name] ?? [name, ""]), undefined, true);
      field.show(base.options[name] ?? optionsOf(base, given)[name]);
      return field.element;
    });
    this.band.replaceChildren(...sliders);
  }

  /** The words of the prompt that the model never saw, and those that it knows. */
  drawWords() {
    const { words } = this.given;
    const unknown = unknownWords(this.asked.prompt, this.known).slice(0, MOST_SHOWN);
    this.note.hidden = !unknown.length;
    if (!unknown.length) return;
    const named = unknown.flatMap((word, i) => [i ? ", " : "", h("b", {}, word)]);
    const scope = words.scope ? `, ${words.scope}` : "";
    const all = h("details", {}, h("summary", {}, "What it knows"), `It knows${scope}: ${words.concepts}.`);
    this.note.replaceChildren("Never seen in training: ", ...named, ". ", words.concepts ? all : "");
  }
}
