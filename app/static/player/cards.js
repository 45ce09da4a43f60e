// A card for each track: its picture, what the rule does, and the histogram before the rule.

import { h, v } from "./dom.js";
import { drawHistogram } from "./histogram.js";
import { number, percent } from "./numbers.js";
import { paint, paintMask, picture } from "./pictures.js";
import { RULES } from "./rules.js";
import { mark } from "./styles.js";
import { bytesOf } from "./unpack.js";
import { histogram, limitAt, rawAt, share, valueAt } from "./values.js";
import { ruleNote } from "./words.js";

/** The note of the clip mask: how much lies above the limit, and how much below minus the limit. */
export const maskNote = (raw, limit) => {
  const edge = limit > 1 ? "s" : "1";
  const [above, below] = [share(raw, (x) => x > limit), share(raw, (x) => x < -limit)];
  return `${percent(above)} above ${edge}, ${percent(below)} below −${edge}`;
};

/** Two tracks' difference as shown: value(i) in [-1, 1], 0 where they are equal. */
export const differenceOf = (data, track, other, at) => {
  const visible = (one, i) => Math.max(-1, Math.min(1, valueAt(data, one, at, i)));
  return (i) => Math.max(-1, Math.min(1, visible(track, i) - visible(other, i)));
};

export class Card {
  /** select() puts the card in front; point(x, y) is a click at shares of the picture's width and height. */
  constructor(track, { select, point }) {
    const label = `x̂₀ under ${track.label}. Arrow keys move the pixel probe.`;
    Object.assign(this, picture(label, "application"));
    this.note = h("span", { class: "pl-deed" });
    const charted = `Histogram of raw x̂₀ under ${track.label}`;
    this.chart = v("svg", { class: "pl-histogram", role: "img", "aria-label": charted });
    this.box.tabIndex = 0;
    // On click, not on press: a press may be the start of scrolling on a phone.
    this.box.addEventListener("click", (event) => {
      const { left, top, width, height } = this.box.getBoundingClientRect();
      point((event.clientX - left) / width, (event.clientY - top) / height);
    });
    this.box.addEventListener("focus", select);
    this.figure = h(
      "figure",
      { class: "pl-card", style: `--rule:${track.style.colour}` },
      h("figcaption", {}, h("b", {}, mark(track.style), track.label), this.note),
      this.box,
      this.chart,
    );
  }

  drawLive(data, track, at) {
    const rgb = bytesOf(track.pixels);
    paint(this.canvas, data.size, (i, c) => rgb[3 * i + c] / 127.5 - 1);
    this.note.textContent = ruleNote(track, at);
    const s = track.numbers.s[at];
    const cutAt = Object.hasOwn(RULES, track.rule) ? s : Infinity;
    drawHistogram(this.chart, track.histogram, data.largest, s, cutAt);
  }

  /** A recorded step; `front` is the track in front and `most` the reach of the histogram. */
  draw(data, track, at, { view, front, most }) {
    const n = data.size ** 2;
    const raw = rawAt(data, track, at);
    const limit = limitAt(track, at);
    const compared = view === "difference" && track !== front;
    const value = compared ? differenceOf(data, track, front, at) : (i) => valueAt(data, track, at, i);
    paint(this.canvas, data.size, (i, c) => value(c * n + i));
    if (view === "mask") paintMask(this.mask, data.size, raw, limit);
    this.note.textContent = this.noteOf(track, at, { view, front, raw, limit });
    const s = track.numbers.s[at];
    drawHistogram(this.chart, histogram(raw, most), most, s, track.kept ? Infinity : limit);
    const range = `from −${number(most)} to ${number(most)}`;
    this.chart.setAttribute("aria-label", `Histogram of raw x̂₀ under ${track.label} ${range}, s = ${number(s)}`);
  }

  noteOf(track, at, { view, front, raw, limit }) {
    if (view === "mask") return maskNote(raw, limit);
    if (view !== "difference")
      return ruleNote(track, at, track.kept ? undefined : share(raw, (x) => Math.abs(x) > limit));
    return track === front ? "the others are compared with this" : `${track.label} − ${front.label}`;
  }
}
