// The lines under Generate: what a run will take, what goes on, what went wrong, and what computes.

import { h } from "../player/dom.js";
import { sizeText } from "./holding.js";

const STAGES = { base64: "64 × 64", sr256: "SR 256", sr1024: "SR 1024" };

export class Status {
  /** again(): the visitor asks for the same once more. */
  constructor(again) {
    this.cost = h("p", { class: "tab-line" });
    this.line = h("p", { class: "tab-line", role: "status" });
    this.bar = h("progress", { hidden: true, "aria-label": "Fetching the model" });
    this.again = h("button", { type: "button", class: "tab-plain", hidden: true, onclick: again }, "Try again");
    this.ground = h("p", { class: "tab-line tab-means" });
    this.element = h("div", { class: "tab-status" }, this.cost, this.line, this.bar, this.again, this.ground);
  }

  /** How long a run takes, or why it cannot begin. */
  price(text, wrong = false) {
    this.cost.textContent = text;
    this.cost.toggleAttribute("data-wrong", wrong);
  }

  /** What computes here. */
  means(text) {
    this.ground.textContent = text;
  }

  note(text, wrong = false) {
    this.line.textContent = text;
    this.line.toggleAttribute("data-wrong", wrong);
  }

  working() {
    this.again.hidden = true;
    this.note("");
  }

  /** What goes on before a run's first step: see Sampling. */
  before({ waits, got, of }) {
    const fetching = of > 0;
    this.bar.hidden = !fetching;
    if (fetching) {
      this.bar.max = of;
      this.bar.value = got;
      this.note(`Fetching the model, once: ${sizeText(Math.max(0, got))} of ${sizeText(of)}.`);
    } else if (waits) {
      this.note("Another tab of this page computes. This run starts when it has ended.");
    } else {
      this.note("Starting the sampler …");
    }
  }

  /** The sampler has begun a stage. */
  samples(stage) {
    this.bar.hidden = true;
    this.note(`Sampling ${STAGES[stage] ?? stage} …`);
  }

  /** A run has ended; what was said of it stays. */
  done() {
    this.bar.hidden = true;
  }

  failed(text, again) {
    this.bar.hidden = true;
    this.again.hidden = !again;
    this.note(text, true);
  }
}
