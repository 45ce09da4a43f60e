// Buttons, scrubber and counter: which step is shown, and playing.

import { h, icon } from "./dom.js";

const ICONS = {
  first: "M3 3h2v10H3zM13 3v10L6 8z",
  last: "M11 3h2v10h-2zM3 3v10l7-5z",
  play: "M4 2.5v11l9.5-5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
};

/** A percentage of the way from the first step to the last. */
export const progressOf = (at, last) => `${(100 * at) / Math.max(1, last)}%`;

/** moves: go(at), toggle() and pause() of the player. */
export class Transport {
  constructor({ go, toggle, pause }) {
    const jump = (at) => {
      pause();
      go(at);
    };
    const button = (name, label, onclick) =>
      h(
        "button",
        { type: "button", class: "pl-button", "aria-label": label, title: label, onclick },
        icon(ICONS[name]),
      );
    const range = { type: "range", min: 0, max: 1, step: 1, value: 0 };
    // The value is read before the player pauses: pausing draws, and drawing puts the scrubber back.
    const oninput = (event) => jump(+event.target.value);
    this.playButton = button("play", "Play", toggle);
    this.scrubber = h("input", { ...range, class: "pl-scrubber", "aria-label": "Step", oninput });
    this.counter = h("output", { class: "pl-counter" });
    this.element = h(
      "div",
      { class: "pl-transport" },
      button("first", "First step", () => jump(0)),
      this.playButton,
      button("last", "Last step", () => jump(Infinity)),
      this.scrubber,
      this.counter,
    );
  }

  /** at counts from 0 to last; step from 1 to planned. */
  draw({ at, last, step, planned, playing }) {
    this.scrubber.max = last;
    this.scrubber.value = at;
    this.scrubber.style.setProperty("--done", progressOf(at, last));
    this.scrubber.setAttribute("aria-valuetext", `step ${step} of ${planned}`);
    this.counter.textContent = `${step} / ${planned}`;
    const name = playing ? "Pause" : "Play";
    if (this.playButton.title === name) return;
    this.playButton.title = name;
    this.playButton.setAttribute("aria-label", name);
    this.playButton.replaceChildren(icon(ICONS[name.toLowerCase()]));
  }
}
