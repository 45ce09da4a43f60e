// Views that put pictures of their own in place of the cards: two rules with a line between them, guidance's parts.

class Wipe {
  constructor() {
    this.at = 0.5;
  }

  lay(tracks, changed) {
    this.left = 0;
    this.right = tracks.length - 1;
    const choose = (side, text) => h("label", {}, text,
      h("select", { onchange: (event) => { this[side] = +event.target.value; changed(); } },
        ...tracks.map((track, i) => h("option", { value: i, selected: i === this[side] }, track.label))));
    this.picture = picture("Wipe between two rules");
    this.line = h("i", { class: "pl-wipe-line" });
    this.picture.box.append(this.line);
    const slider = h("input", { type: "range", min: 0, max: 100, step: 1, value: 100 * this.at, "aria-label": "Wipe position" });
    const move = () => { this.at = slider.value / 100; changed(); };
    const drag = (event) => {
      if (!event.buttons) return;
      const frame = this.picture.box.getBoundingClientRect();
      slider.value = Math.round((event.clientX - frame.left) / frame.width * 100);
      move();
    };
    slider.addEventListener("input", move);
    this.picture.box.addEventListener("pointerdown", drag);
    this.picture.box.addEventListener("pointermove", drag);
    return h("div", { class: "pl-wipe" },
      choose("left", "Left of the line"), this.picture.box, choose("right", "Right of it"), slider);
  }

  draw(data, at) {
    const n = data.size ** 2, edge = this.at * data.size, left = data.tracks[this.left], right = data.tracks[this.right];
    paint(this.picture.canvas, data.size, (i, c) => valueAt(data, i % data.size < edge ? left : right, at, c * n + i));
    this.line.style.left = `${100 * this.at}%`;
  }
}

class Parts {
  lay() {
    this.shown = ["cond", "uncond", "difference", "guided"].map((name) => {
      const note = h("figcaption"), chart = v("svg", { class: "pl-histogram", role: "img" });
      return { name, note, chart, ...picture(name) };
    });
    return h("div", { class: "pl-parts" },
      ...this.shown.map((part) => h("figure", {}, part.note, part.box, part.chart)));
  }

  draw(data, at, track) {
    const n = data.size ** 2, begin = at * data.length, m = Math.max(1, track.numbers.largest[at]);
    const raw = rawAt(data, track, at), cond = track.cond.subarray(begin, begin + data.length);
    const delta = track.unguided?.includes(at) ? null : track.delta?.subarray(begin, begin + data.length);
    // Late in a run the difference is faint, so it is enlarged by what makes it fill half the range.
    const gain = delta ? 2 ** Math.max(0, Math.floor(-1 - Math.log2(Math.max(1e-3, share(delta, Math.abs) * 4)))) : 1;
    const w = weightAt(track, at), by = track.guidance_rule === "cfg" ? "" : ` by ${track.guidance_rule}`;
    const of = {
      cond: ["cond", (i) => cond[i]],
      uncond: ["uncond", (i) => cond[i] - (delta?.[i] ?? 0)],
      difference: [gain > 1 ? `cond − uncond, × ${gain}` : "cond − uncond", (i) => gain * (delta?.[i] ?? 0)],
      guided: [`guided${by}${w === null ? "" : `, ${weight(w)}`}`, (i) => raw[i]],
    };
    for (const part of this.shown) {
      const [text, value] = of[part.name], missing = !delta && (part.name === "uncond" || part.name === "difference");
      const why = w === 1 ? "not evaluated at w = 1" : "not in this recording";
      part.note.textContent = missing ? `${part.name}: ${why}` : text;
      part.box.classList.toggle("pl-missing", missing);
      paint(part.canvas, data.size, (i, c) => (missing ? 0 : value(c * n + i)));
      // On one scale, so that it shows how far guidance stretches what lay within ±1.
      const plain = missing || part.name === "difference", values = raw.map((_, i) => (plain ? 0 : value(i)));
      part.chart.setAttribute("aria-label", `Histogram of ${part.name} from −${number(m)} to ${number(m)}`);
      part.chart.style.visibility = plain ? "hidden" : "";
      drawHistogram(part.chart, histogram(values, m), m, 1, 1);
    }
  }
}
