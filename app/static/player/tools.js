// Tools under the pictures: one pixel over all steps, and one step under other rules. Each keeps what it is set to.

class Probe {
  constructor() {
    this.pixel = null;
  }

  lay() {
    this.title = h("h3");
    this.chart = v("svg", { class: "pl-curve pl-probe-chart", role: "img", "aria-label": "Raw and kept value of the pixel over the steps" });
    this.table = h("tbody");
    return h("details", { class: "pl-tool" }, h("summary", {}, this.title),
      h("p", { class: "pl-hint" }, "Click a picture, or focus one and use the arrow keys. Dotted is raw x̂₀, solid is what the rule kept."),
      this.chart,
      h("table", {},
        h("thead", {}, h("tr", {}, ...["", "R", "G", "B"].map((text) => h("th", { scope: "col" }, text)))), this.table));
  }

  start(data) {
    if (!this.pixel || Math.max(...this.pixel) >= data.size) this.pixel = this.worst(data);
  }

  // Where the first track strays furthest in the last step, there is something to show.
  worst(data) {
    const { size } = data, n = size * size;
    let worst = 0, most = 0;
    rawAt(data, data.tracks[0], data.steps.length - 1).forEach((x, i) => {
      if (Math.abs(x) > most) { most = Math.abs(x); worst = i % n; }
    });
    return [worst % size, Math.floor(worst / size)];
  }

  move(data, x, y) {
    this.pixel = [x, y].map((place) => Math.max(0, Math.min(data.size - 1, Math.floor(place))));
  }

  // The frame around the pixel in a card's picture.
  place(frame, { size: side }) {
    const [x, y] = this.pixel;
    frame.style.cssText = `left:${100 * x / side}%;top:${100 * y / side}%;width:${100 / side}%;height:${100 / side}%`;
  }

  draw(data, at, track) {
    const [x, y] = this.pixel, n = data.size ** 2, i = y * data.size + x;
    const steps = data.steps.map((step) => step.step), lines = [], rows = { raw: [], kept: [] };
    CHANNELS.forEach(([label, colour], c) => {
      const raw = steps.map((_, k) => track.raw[k * data.length + c * n + i]);
      const kept = steps.map((_, k) => valueAt(data, track, k, c * n + i));
      rows.raw.push(raw[at]);
      rows.kept.push(kept[at]);
      lines.push({ values: raw, colour, dash: "1 3", thin: true }, { values: kept, colour, dash: "", label });
    });
    const most = Math.max(1.6, ...lines.flatMap((line) => line.values.map(Math.abs)));
    this.title.textContent = `Pixel ${x}, ${y} under ${track.label}`;
    drawLines(this.chart, lines, { ticks: [-most, -1, 0, 1, most], place: symlog, show: (value) => number(value, 1),
      steps, planned: data.planned, at, band: true });
    this.table.replaceChildren(...Object.entries(rows).map(([name, values]) => h("tr", {}, h("th", { scope: "row" }, name),
      ...values.map((value) => h("td", { "data-value": value }, number(value, 3))))));
  }
}

class Microscope {
  constructor(turned) {
    this.turned = turned;
    Object.assign(this, { rule: "dynamic", percentile: 99.5, cap: null });
  }

  lay() {
    const knob = (name, min, max, turn) => {
      const output = h("output"), input = h("input", { type: "range", min, max, step: 0.1, "aria-label": name });
      input.addEventListener("input", () => { turn(+input.value); this.rule = "dynamic"; this.sync(); this.turned(); });
      return { input, output, row: h("label", { class: "pl-knob" }, h("span", {}, name), input, output) };
    };
    this.rules = radios("Rule in the microscope", { none: "none", static: "static", dynamic: "dynamic" }, this.rule,
      (rule) => { this.rule = rule; this.turned(); });
    this.percentileKnob = knob("Percentile", 50, 100, (x) => { this.percentile = x; });
    this.capKnob = knob("Cap on s", 1, 10, (x) => { this.cap = x >= 10 ? null : x; });
    this.picture = picture("The held step under the microscope's rule");
    this.mask = picture("What the microscope's rule cuts");
    this.chart = v("svg", { class: "pl-histogram", role: "img", "aria-label": "Histogram of the held step" });
    this.words = h("p", { class: "pl-micro-words", role: "status" });
    this.title = h("h3");
    return h("details", { class: "pl-tool pl-micro" }, h("summary", {}, this.title),
      h("p", { class: "pl-hint" }, "Turn the rule's knobs on this stored x̂₀. ", h("b", {}, "This step only:"), " the steps after it are not run again."),
      h("div", { class: "pl-knobs" }, this.rules, this.percentileKnob.row, this.capKnob.row),
      h("div", { class: "pl-micro-show" }, this.picture.box, this.mask.box, this.chart), this.words);
  }

  // Opens with the rule of the card in front and the run's own knobs, so that the first s is that card's.
  start(data, track) {
    const { percentile = 99.5, cap = null } = data.tracks.find((track) => track.rule === "dynamic") ?? {};
    Object.assign(this, { rule: track.rule in RULES ? track.rule : "dynamic", percentile, cap });
    this.sync();
  }

  sync() {
    for (const input of this.rules.querySelectorAll("input")) input.checked = input.value === this.rule;
    this.percentileKnob.input.value = this.percentile;
    this.percentileKnob.output.textContent = tenths(this.percentile);
    this.capKnob.input.value = this.cap ?? 10;
    this.capKnob.output.textContent = this.cap === null ? "none" : tenths(this.cap);
  }

  draw(data, at, track) {
    const n = data.size ** 2, raw = rawAt(data, track, at);
    if (this.ranked?.track !== track || this.ranked.at !== at) this.ranked = { track, at, values: sorted(raw) };
    const s = RULES[this.rule](this.ranked.values, this.percentile, this.cap), m = Math.max(1, this.ranked.values.at(-1));
    for (const { canvas } of [this.picture, this.mask]) paint(canvas, data.size, (i, c) => keep(this.rule, raw[c * n + i], s));
    zebra(this.mask.zebra, data.size, raw, s);
    drawHistogram(this.chart, histogram(raw, m), m, s, s);
    const cut = share(raw, (x) => Math.abs(x) > s), burnt = share(raw, (x) => Math.abs(keep(this.rule, x, s)) > 0.99);
    this.title.textContent = `Microscope: step ${data.steps[at].step} under ${track.label}`;
    const idle = this.rule === "dynamic" && s <= 1 ? " The percentile lies within ±1, so dynamic cuts as static does; earlier steps show more." : "";
    this.words.textContent = `s = ${s.toFixed(3)}; ${percent(cut)} of values lie beyond it, ${percent(burnt)} end up burnt out (|x̂₀| > 0.99).${idle}`;
    Object.assign(this.words.dataset, { s, cut, burnt });
  }
}
