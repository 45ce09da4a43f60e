// The wipe: two rules in one picture, with a line between them.

import { h } from "./dom.js";
import { paint, picture } from "./pictures.js";
import { valueAt } from "./values.js";

/** Where a pointer stands across a frame, in whole percent from 0 to 100. */
export const percentAcross = (clientX, { left, width }) =>
  Math.max(0, Math.min(100, Math.round(((clientX - left) / width) * 100)));

export class Wipe {
  constructor() {
    this.at = 0.5;
  }

  lay(tracks, changed) {
    this.left = 0;
    this.right = tracks.length - 1;
    const choose = (side, text) => {
      const onchange = (event) => {
        this[side] = +event.target.value;
        changed();
      };
      const options = tracks.map(({ label }, i) => h("option", { value: i, selected: i === this[side] }, label));
      return h("label", {}, text, h("select", { onchange }, ...options));
    };
    this.picture = picture("Wipe between two rules");
    this.line = h("i", { class: "pl-wipe-line" });
    this.picture.box.append(this.line);
    const slider = this.laySlider(changed);
    return h(
      "div",
      { class: "pl-wipe" },
      choose("left", "Left of the line"),
      this.picture.box,
      choose("right", "Right of the line"),
      slider,
    );
  }

  laySlider(changed) {
    const range = { type: "range", min: 0, max: 100, step: 1, value: 100 * this.at };
    const slider = h("input", { ...range, "aria-label": "Wipe position" });
    const move = () => {
      this.at = slider.value / 100;
      changed();
    };
    const drag = (event) => {
      if (!event.buttons) return;
      slider.value = percentAcross(event.clientX, this.picture.box.getBoundingClientRect());
      move();
    };
    slider.addEventListener("input", move);
    this.picture.box.addEventListener("pointerdown", drag);
    this.picture.box.addEventListener("pointermove", drag);
    return slider;
  }

  draw(data, at) {
    const { size, tracks } = data;
    const edge = this.at * size;
    const trackOf = (i) => tracks[i % size < edge ? this.left : this.right];
    paint(this.picture.canvas, size, (i, c) => valueAt(data, trackOf(i), at, c * size * size + i));
    this.line.style.left = `${100 * this.at}%`;
  }
}
