// The player of a lesson: it loads recorded runs when they are needed, and covers them until the reader has guessed.

import { h } from "../player/dom.js";
import { formula } from "./text.js";

/** A recording's text with only some of its tracks. */
export const only = (text, rules) => {
  const data = JSON.parse(text);
  const tracks = data.tracks?.filter(({ label }) => rules.includes(label));
  return tracks?.length ? JSON.stringify({ ...data, tracks }) : text;
};

/** The stills in a text of records/stills.py: [{ label, picture, numbers }]; null where it holds a run. */
export const stillsIn = (text) => {
  const data = JSON.parse(text);
  return data.kind === "stills" ? data.stills : null;
};

const still = ({ label, picture }) =>
  h("figure", {}, h("img", { src: `data:image/webp;base64,${picture}`, alt: label }), h("figcaption", {}, label));

export class Screen {
  /** kit: the player's { mount, prepare } (static/player/main.js); load(run): resolves to a recording's text.
   *
   * note: what stands there until the first run has come.
   */
  constructor(kit, load, note) {
    this.kit = kit;
    this.load = load;
    this.texts = new Map();
    this.turn = 0;
    this.formula = h("p", { class: "learn-formula" });
    this.place = h("div", { class: "learn-player" });
    this.stills = h("div", { class: "learn-stills", hidden: true });
    this.cover = h("p", { class: "learn-cover", "aria-hidden": "true" });
    this.element = h(
      "div",
      { class: "learn-screen" },
      h("div", { class: "learn-frame" }, this.place, this.stills, this.cover),
      this.formula,
    );
    this.player = kit.mount(
      this.place,
      () => JSON.stringify({ kind: "waiting", note }),
      () => {},
    );
  }

  fetch(run) {
    if (!this.texts.has(run)) {
      const text = this.load(run);
      this.texts.set(run, text);
      // A failed load may work the next time.
      text.catch(() => this.texts.delete(run));
    }
    return this.texts.get(run);
  }

  /** Prepares the state that a step shows; `covered` is the text on the cover, or null. */
  async show({ run, step, view, rules, pixel, formula: text }, covered) {
    const turn = ++this.turn;
    this.formula.replaceChildren(...formula(text));
    this.formula.hidden = !text;
    this.uncover(covered);
    const wanted = `${run} ${rules}`;
    if (this.wanted !== wanted) {
      const value = await this.fetch(run);
      // The reader has moved on meanwhile.
      if (turn !== this.turn) return;
      const stills = stillsIn(value);
      this.place.hidden = stills !== null;
      this.stills.hidden = stills === null;
      if (stills) this.stills.replaceChildren(...stills.map(still));
      else await this.player.show(only(value, rules));
      if (turn !== this.turn) return;
      this.wanted = wanted;
    }
    this.kit.prepare(this.player, { step, view, pixel });
  }

  /** Covers the pictures with a text, or uncovers them. */
  uncover(covered) {
    this.element.toggleAttribute("data-covered", covered !== null);
    this.cover.textContent = covered ?? "";
    this.place.inert = this.stills.inert = covered !== null;
  }
}
