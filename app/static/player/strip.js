// The film strip: the picture under each rule at steps spread over the run. A press on a step goes there.

import { h } from "./dom.js";
import { paint } from "./pictures.js";
import { mark } from "./styles.js";
import { valueAt } from "./values.js";

const MOST = 9;

/** At most `most` of `count` steps, evenly spread, the first and the last among them; all count from 0. */
export const spreadSteps = (count, most = MOST) => {
  const shown = Math.min(count, most);
  return Array.from({ length: shown }, (_, i) => (shown > 1 ? Math.round((i * (count - 1)) / (shown - 1)) : 0));
};

/** Which of the shown steps is the latest that is not after `at`. */
export const shownAt = (steps, at) => steps.findLastIndex((step) => step <= at);

export class Strip {
  /** go(at) shows a step, from 0. */
  constructor(go) {
    this.go = go;
    this.element = h("div", { class: "pl-strip" });
  }

  lay(tracks) {
    this.tracks = tracks;
    this.element.style.setProperty("--n", tracks.length + 1);
    return this.element;
  }

  /** Paints the pictures of a new recording. */
  draw(data) {
    const n = data.size ** 2;
    this.steps = spreadSteps(data.steps.length);
    const names = data.tracks.map((track) => h("span", { style: `--rule:${track.style.colour}` }, mark(track.style)));
    this.frames = this.steps.map((at) => {
      const pictures = data.tracks.map((track) => {
        const canvas = h("canvas", { width: 1, height: 1 });
        paint(canvas, data.size, (i, c) => valueAt(data, track, at, c * n + i));
        return canvas;
      });
      const { step } = data.steps[at];
      const label = { type: "button", "aria-label": `Step ${step}`, onclick: () => this.go(at) };
      return h("button", label, h("span", {}, step), ...pictures);
    });
    this.element.replaceChildren(h("div", { "aria-hidden": "true" }, h("span", {}, "step"), ...names), ...this.frames);
  }

  /** Marks the shown step. */
  mark(at) {
    const shown = shownAt(this.steps, at);
    for (const [i, frame] of this.frames.entries()) frame.toggleAttribute("data-here", i === shown);
  }
}
