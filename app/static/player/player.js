// The player: looks at runs side by side, step by step. No framework, no network; the page, recorded runs and the
// stand-alone report all use it. It takes a string of JSON: a recording (imagen_core/recording.py), the newest frame of
// a run at work, or a note to wait. Whatever a person may have typed reaches the document as text only.
// This is the last of the parts that player.py joins into one script: the player itself.

// Below this width in pixels the tools fold away and the curves stand in pairs.
const NARROW = 640;

class Player {
  constructor(root) {
    this.root = root;
    root.player = this;
    this.view = "side";
    this.at = 0;
    this.selected = null;
    this.turn = 0;
    this.wipe = new Wipe();
    this.parts = new Parts();
    this.probe = new Probe();
    this.micro = new Microscope(() => { this.pause(); this.draw(); });
    root.classList.add("pl");
    root.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => { root.toggleAttribute("data-narrow", root.clientWidth < NARROW); this.draw(); }).observe(root);
  }

  // -- what is shown --

  async show(text) {
    const before = this.data;
    let data = JSON.parse(text);
    // A frame that comes after its run was stopped is late.
    if (data.kind === "live" && data.run && data.run === this.ended) return;
    const turn = ++this.turn;
    this.pause();
    if (data.kind === "recording") {
      this.ended = data.run;
      data = await decode(data).then(() => data, unreadable);
    }
    if (turn !== this.turn) return;
    this.data = data;
    if (data.picked !== before?.picked) this.selected = null;
    if (data.kind === "waiting") return this.layWaiting();
    if (data.kind === "live") this.at = data.tracks[0].numbers.s.length - 1;
    else this.at = data.steps.length - 1;
    const same = before?.tracks && this.laid === this.pattern(data);
    if (!same) this.lay();
    this.root.dataset.kind = data.kind;
    if (data.kind === "recording") this.arrive(before);
    this.head();
    this.draw();
    if (data.kind === "live" && before?.kind !== "live") this.appear();
  }

  // Who presses Generate far below should see what comes of it.
  appear() {
    const { top, bottom } = this.cards[0].box.getBoundingClientRect();
    if (!this.root.offsetParent || (top >= 0 && bottom <= innerHeight)) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.root.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
  }

  pattern(data) {
    return data.tracks.map((track) => track.label).join("|");
  }

  arrive(before) {
    const { data } = this;
    this.scrubber.max = data.steps.length - 1;
    this.micro.start(data, this.track);
    this.probe.start(data);
    // A recorded run plays by itself once; a run that was just watched stays where it ended.
    if (before?.kind !== "live" && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.at = 0;
      this.play();
    }
  }

  get step() {
    return this.data.steps ? this.data.steps[this.at].step : this.at + 1;
  }

  get track() {
    const { tracks } = this.data, found = (test) => tracks.find(test);
    return found((track) => track.label === this.selected)
      ?? found((track) => track.label === this.data.picked) ?? found((track) => track.rule === "dynamic") ?? tracks.at(-1);
  }

  // -- layout --

  layWaiting() {
    this.laid = null;
    this.pause();
    this.root.dataset.kind = "waiting";
    this.root.replaceChildren(h("p", { class: "pl-waiting", role: "status" }, this.data.note));
  }

  lay() {
    const { tracks } = this.data, draw = () => this.draw();
    this.laid = this.pattern(this.data);
    this.title = h("p", { class: "pl-title" });
    this.words = h("p", { class: "pl-sentence", role: "status" });
    // Of a single run there is nothing to compare.
    const { wipe, difference, ...alone } = VIEWS, offered = tracks.length > 1 ? VIEWS : alone;
    if (!(this.view in offered)) this.view = "side";
    this.views = radios("View", offered, this.view, (view) => { this.view = view; this.draw(); });
    this.cards = tracks.map((track) => this.card(track));
    this.legend = h("p", { class: "pl-legend" });
    const stage = h("div", { class: "pl-stage" },
      h("div", { class: "pl-cards", style: `--n:${tracks.length}`, "data-n": tracks.length },
        ...this.cards.map((card) => card.figure)),
      this.wipe.lay(tracks, draw), this.parts.lay());
    const tools = h("div", { class: "pl-tools" }, this.probe.lay(), this.micro.lay());
    for (const tool of tools.children) {
      tool.open = this.root.clientWidth >= NARROW;
      tool.addEventListener("toggle", draw);
    }
    this.root.replaceChildren(
      h("div", { class: "pl-head" }, this.title, this.words),
      h("div", { class: "pl-bar" }, this.views), stage, this.legend, this.layTransport(), this.layCurves(), tools);
  }

  card(track) {
    const shown = picture(`x̂0 under ${track.label}. Arrow keys move the pixel probe.`, "application");
    const note = h("span", { class: "pl-deed" }), chart = v("svg", { class: "pl-histogram", role: "img" });
    shown.box.tabIndex = 0;
    // Not the press, which may be the start of a phone's scrolling.
    shown.box.addEventListener("click", (event) => {
      if (this.data.kind !== "recording") return;
      const frame = shown.box.getBoundingClientRect(), { size: side } = this.data;
      this.select(track.label);
      const [x, y] = [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
      this.probe.move(this.data, x * side, y * side);
      this.draw();
    });
    shown.box.addEventListener("focus", () => this.select(track.label));
    const figure = h("figure", { class: "pl-card", style: `--rule:${style(track.rule)[0]}` },
      h("figcaption", {}, h("b", {}, mark(track.rule), track.label), note), shown.box, chart);
    return { figure, note, chart, ...shown };
  }

  select(label) {
    if (label === this.selected) return;
    this.selected = label;
    this.draw();
  }

  layTransport() {
    const button = (name, label, act) => h("button",
      { type: "button", class: "pl-button", "aria-label": label, title: label, onclick: act }, icon(ICONS[name]));
    this.playButton = button("play", "Play", () => (this.timer ? this.pause() : this.play()));
    this.scrubber = h("input", { type: "range", class: "pl-scrubber", min: 0, max: 1, step: 1, value: 0, "aria-label": "Step",
      oninput: (event) => { const at = +event.target.value; this.pause(); this.go(at); } });
    this.counter = h("output", { class: "pl-counter" });
    return h("div", { class: "pl-transport" },
      button("first", "First step", () => { this.pause(); this.go(0); }), this.playButton,
      button("last", "Last step", () => { this.pause(); this.go(Infinity); }), this.scrubber, this.counter);
  }

  layCurves() {
    this.curves = CURVES.map((curve) => {
      const chart = v("svg", { class: "pl-curve", role: "img", "aria-label": `${curve.title} over the steps` });
      const values = h("span", { class: "pl-values" });
      const self = { ...curve, chart, values, figure: h("figure", {}, h("figcaption", {}, curve.title, values), chart) };
      const seek = (event) => {
        if (this.data.kind !== "recording") return;
        const step = self.stepAt(event.clientX), steps = this.data.steps.map((x) => Math.abs(x.step - step));
        this.pause();
        this.go(steps.indexOf(Math.min(...steps)));
      };
      chart.addEventListener("click", seek);
      chart.addEventListener("pointermove", (event) => { if (event.buttons) seek(event); });
      return self;
    });
    return h("div", { class: "pl-curves" }, ...this.curves.map((curve) => curve.figure));
  }

  // -- moving --

  go(at) {
    this.at = Math.max(0, Math.min(this.data.steps.length - 1, at));
    this.draw();
  }

  play() {
    if (this.data.kind !== "recording") return;
    if (this.at >= this.data.steps.length - 1) this.at = 0;
    // Play may have been pressed while this run was still being unpacked.
    clearInterval(this.timer);
    this.timer = setInterval(() => {
      // A place that is gone or out of sight does not tick.
      if (!this.root.isConnected) return this.pause();
      if (!this.root.offsetParent) return;
      // Before the last step is drawn, so that its verdict is read out.
      if (this.at + 1 >= this.data.steps.length - 1) this.pause();
      this.go(this.at + 1);
    }, 1000 / 6);
    this.drawTransport();
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    if (this.laid) this.drawTransport();
  }

  key(event) {
    if (this.data?.kind !== "recording" || event.altKey || event.ctrlKey || event.metaKey) return;
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.target.classList.contains("pl-picture") && move) {
      const [x, y] = this.probe.pixel;
      this.probe.move(this.data, x + move[0], y + move[1]);
      this.draw();
    } else if (event.key === " " && event.target === this.scrubber) {
      if (this.timer) this.pause();
      else this.play();
    } else if (move?.[0] && !event.target.matches("input, select")) {
      this.pause();
      this.go(this.at + move[0]);
    } else return;
    event.preventDefault();
  }

  // -- drawing --

  head() {
    const { data } = this, { prompt, seed } = data.request, w = data.tracks[0].w;
    const stopped = data.kind === "recording" && data.steps.at(-1).step < data.planned;
    const recorded = data.title ? `Recorded run: ${data.title}` : stopped ? "Stopped run" : "Your run";
    const state = data.kind === "live" ? "Sampling" : recorded;
    const last = data.kind === "live" ? data.note : data.tracks.length > 1 ? `same noise, ${data.tracks.length} rules` : "";
    const facts = [`w = ${w}`, `seed ${seed}`, `${data.planned} steps`, last].filter(Boolean).join(" · ");
    this.title.replaceChildren(h("b", {}, state), h("q", { title: prompt }, prompt), h("span", {}, facts));
  }

  draw() {
    if (!this.laid || !this.data?.tracks || !this.root.clientWidth) return;
    const live = this.data.kind === "live";
    this.root.dataset.view = live ? "side" : this.view;
    this.drawTransport();
    this.drawCards(live);
    this.drawCurves();
    this.words.setAttribute("aria-live", this.timer || live ? "off" : "polite");
    this.words.textContent = sentence(this.data, this.at, this.step);
    if (live) return;
    const { data, at, track } = this;
    if (this.view === "wipe") this.wipe.draw(data, at);
    if (this.view === "parts") this.parts.draw(data, at, track);
    this.probe.draw(data, at, track);
    this.micro.draw(data, at, track);
  }

  drawTransport() {
    const live = this.data?.kind !== "recording";
    if (live && this.data?.planned) { this.scrubber.max = this.data.planned - 1; }
    this.scrubber.value = this.at;
    this.scrubber.style.setProperty("--done", `${100 * this.at / Math.max(1, this.scrubber.max)}%`);
    const controls = ".pl-transport button, .pl-scrubber, .pl-segments input, .pl-knob input";
    for (const control of this.root.querySelectorAll(controls)) control.disabled = live;
    const name = this.timer ? "Pause" : "Play";
    if (this.playButton.title !== name) {
      this.playButton.title = name;
      this.playButton.setAttribute("aria-label", name);
      this.playButton.replaceChildren(icon(ICONS[this.timer ? "pause" : "play"]));
    }
    if (this.data?.tracks) {
      this.counter.textContent = `${this.step} / ${this.data.planned}`;
      this.scrubber.setAttribute("aria-valuetext", `step ${this.step} of ${this.data.planned}`);
    }
  }

  drawCards(live) {
    const { data, at, view } = this, n = data.size ** 2;
    const m = Math.max(1, ...data.tracks.map((track) => track.numbers.largest[at]));
    data.tracks.forEach((track, k) => {
      const card = this.cards[k], s = track.numbers.s[at];
      card.figure.classList.toggle("pl-selected", track === this.track);
      if (live) {
        const rgb = bytesOf(track.pixels);
        paint(card.canvas, data.size, (i, c) => rgb[3 * i + c] / 127.5 - 1);
        card.note.textContent = deed(track, at);
        drawHistogram(card.chart, track.histogram, data.largest, s, track.rule in RULES ? s : Infinity);
        return;
      }
      const raw = rawAt(data, track, at), limit = limitAt(track, at), cut = share(raw, (x) => Math.abs(x) > limit);
      card.note.textContent = deed(track, at, track.kept ? undefined : cut);
      const value = (i, c) => valueAt(data, track, at, c * n + i);
      if (view === "difference" && track !== this.track) {
        const shown = (t, i, c) => Math.max(-1, Math.min(1, valueAt(data, t, at, c * n + i)));
        paint(card.canvas, data.size, (i, c) => shown(track, i, c) - shown(this.track, i, c));
        card.note.textContent = `${track.label} − ${this.track.label}`;
      } else paint(card.canvas, data.size, value);
      if (view === "difference" && track === this.track) card.note.textContent = "what the others are compared with";
      if (view === "mask") {
        zebra(card.zebra, data.size, raw, limit);
        const above = share(raw, (x) => x > limit), below = share(raw, (x) => x < -limit), edge = limit > 1 ? "s" : "1";
        card.note.textContent = `${percent(above)} above ${edge}, ${percent(below)} below −${edge}`;
      }
      this.probe.place(card.probe, data);
      drawHistogram(card.chart, histogram(raw, m), m, s, track.kept ? Infinity : limit);
      card.chart.setAttribute("aria-label", `Histogram of raw x̂0 under ${track.label} from −${number(m)} to ${number(m)}, s = ${number(s)}`);
    });
    const swatch = (kind) => h("i", { class: "pl-swatch", style: `background-image:url(${TILES[kind].toDataURL()})` });
    this.legend.replaceChildren(...legend(live ? "side" : view, this.track, at, swatch));
  }

  drawCurves() {
    const { data, at } = this, steps = data.steps?.map((x) => x.step) ?? data.tracks[0].numbers.s.map((_, i) => i + 1);
    for (const curve of this.curves) {
      const lines = data.tracks.map((track) => {
        const [colour, dash, shape] = style(track.rule);
        return { values: track.numbers[curve.name], colour, dash, shape };
      });
      const most = Math.max(curve.floor + curve.room, ...lines.flatMap((line) => line.values));
      const { floor, place, show } = curve, middle = place === Math.log ? Math.sqrt(floor * most) : (floor + most) / 2;
      const ticks = [floor, middle, most];
      curve.stepAt = drawLines(curve.chart, lines, { ticks, place, show, steps, planned: data.planned, at });
      curve.values.replaceChildren(...data.tracks.map((track, k) => h("span",
        { style: `--rule:${style(track.rule)[0]}`, title: track.label }, mark(track.rule), show(lines[k].values[at]))));
    }
  }
}

// place: an element; read(): the value now; watch(changed): call changed() when there is a new one.
const mount = (place, read, watch) => {
  const player = new Player(place.querySelector(".player-place") ?? place);
  const changed = () => player.show(read());
  watch(changed);
  changed();
  return player;
};
window.ImagenPlayer = { mount, RULES, keep, sorted, histogram };
