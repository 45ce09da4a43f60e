// The player: runs side by side, step by step. The page, recorded runs and the stand-alone report all use it.
//
// It takes a text of JSON: a recording, the newest frame of a live run, or a note (imagen_core/records/payload.py).

import { Card } from "./cards.js";
import { Curves, closest } from "./curves.js";
import { h, radios } from "./dom.js";
import { frontOf, headOf } from "./head.js";
import { press } from "./keys.js";
import { Microscope } from "./microscope.js";
import { Parts } from "./parts.js";
import { parse } from "./payload.js";
import { swatch } from "./pictures.js";
import { Probe } from "./probe.js";
import { listen, project } from "./projector.js";
import { linkTo, Share } from "./share.js";
import { prepare, stateOf } from "./state.js";
import { Strip } from "./strip.js";
import { styleOf } from "./styles.js";
import { Transport } from "./transport.js";
import { unpack } from "./unpack.js";
import { Others } from "./weights.js";
import { Wipe } from "./wipe.js";
import { legend, sentence, tellingStep, VIEWS } from "./words.js";

// Below this width in pixels the tools fold away and the curves stand in pairs.
const NARROW = 640;
const STEP_MS = 1000 / 6;
// A recorded run rests this long on its telling step before it plays.
const REST_MS = 3000;

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Player {
  /** engine: { burnt, styles, schemas } from app/parts/player.py.
   *
   * get(address) fetches a run at another guidance weight; `mark` comes before the query of a link.
   */
  constructor(root, engine, { get, mark = "?" } = {}) {
    this.root = root;
    this.engine = engine;
    this.view = "side";
    this.at = 0;
    this.selected = null;
    this.turn = 0;
    this.more = false;
    this.mark = mark;
    this.others = new Others(async (text) => unpack(parse(text, engine.schemas)), get);
    this.wipe = new Wipe();
    this.parts = new Parts();
    this.probe = new Probe();
    this.micro = new Microscope(() => {
      this.pause();
      this.draw();
    }, engine.burnt);
    root.player = this;
    root.classList.add("pl");
    root.addEventListener("keydown", (event) => press(this, event));
    listen();
    new ResizeObserver(() => {
      root.toggleAttribute("data-narrow", root.clientWidth < NARROW);
      this.draw();
    }).observe(root);
  }

  // -- a new value --

  /** Shows a text of JSON. */
  show(text) {
    const data = parse(text, this.engine.schemas);
    if (data.kind === "recording" && data.run) this.onOwn?.(text);
    return this.put(data, unpack);
  }

  /** Shows a value; unpacked(recording) resolves to it with its arrays, where it does not have them yet. */
  async put(data, unpacked = async (whole) => whole) {
    const before = this.data;
    // A frame that arrives after its run has ended is late.
    if (data.kind === "live" && data.run && data.run === this.ended) return;
    const turn = ++this.turn;
    this.pause();
    if (data.kind === "recording") {
      this.ended = data.run;
      data = await unpacked(data);
    }
    // A newer value came while this one was unpacked.
    if (turn !== this.turn) return;
    this.data = data;
    if (data.picked !== before?.picked) this.selected = null;
    if (data.kind === "waiting") this.layWaiting();
    else this.arrive(before);
  }

  /** Shows a recorded run at the recorded guidance weight that is nearest to w, at the same step. */
  async weigh(w) {
    if (this.data?.kind !== "recording") return;
    const before = this.data;
    this.wish = w;
    const data = await this.others.at(before, w);
    // The slider has moved on, or another run has come.
    if (w !== this.wish || before !== this.data || !data?.tracks) return;
    this.pause();
    const { step } = this;
    this.data = { ...data, asked: w };
    this.arrive(before, step);
  }

  /** Lays and draws the new value; `step`, from 1, is where a run that replaces another one stands. */
  arrive(before, step) {
    const { data } = this;
    data.tracks = data.tracks.map((track) => ({ ...track, style: styleOf(track.rule, this.engine.styles) }));
    this.at = this.last;
    const labels = data.tracks.map((track) => track.label).join("|");
    if (!before?.tracks || this.laid !== labels) this.lay();
    this.laid = labels;
    this.root.dataset.kind = data.kind;
    this.drawHead();
    if (data.kind === "live") {
      this.draw();
      if (before?.kind !== "live") this.appear();
      return;
    }
    this.micro.start(data, this.track);
    this.probe.start(data);
    this.strip.draw(data);
    this.begin(before?.kind === "live" || step !== undefined || data.begin);
    if (step !== undefined) this.at = closest(this.numbers, step);
    this.draw();
    if (data.begin) {
      // The probe is folded away on a first look.
      if (data.begin.pixel) this.folded.open = true;
      prepare(this, data.begin);
    }
    this.others.fetchAll(data);
  }

  /** A recorded run plays by itself once, from its telling step; a run that was watched live stays at its end. */
  begin(watched) {
    const { data } = this;
    data.telling = data.tracks.length > 1 ? tellingStep(data) : null;
    const rests = data.title && data.telling !== null;
    if (rests) this.at = data.telling;
    if (watched || calm()) return;
    if (!rests) this.at = 0;
    this.play(rests ? REST_MS : STEP_MS);
  }

  // Generate may be far below the player on a phone.
  appear() {
    const { top, bottom } = this.cards[0].box.getBoundingClientRect();
    if (!this.root.offsetParent || (top >= 0 && bottom <= innerHeight)) return;
    this.root.scrollIntoView({ block: "start", behavior: calm() ? "auto" : "smooth" });
  }

  get track() {
    return frontOf(this.data, this.selected);
  }

  /** The number of the shown step, from 1. */
  get step() {
    return this.data.steps ? this.data.steps[this.at].step : this.at + 1;
  }

  /** The numbers of the recorded steps, from 1. */
  get numbers() {
    return this.data.steps.map((x) => x.step);
  }

  get last() {
    return (this.data.steps ?? this.data.tracks[0].numbers.s).length - 1;
  }

  // -- layout --

  layWaiting() {
    this.laid = null;
    // Play may have been pressed on the run before.
    this.pause();
    this.root.dataset.kind = "waiting";
    this.root.replaceChildren(h("p", { class: "pl-waiting", role: "status" }, this.data.note));
  }

  lay() {
    const { tracks } = this.data;
    const draw = () => this.draw();
    this.title = h("p", { class: "pl-title" });
    this.words = h("p", { class: "pl-sentence", role: "status" });
    this.legend = h("p", { class: "pl-legend" });
    this.cards = tracks.map((track) => this.layCard(track));
    const grid = { class: "pl-cards", style: `--n:${tracks.length}`, "data-n": tracks.length };
    const cards = h("div", grid, ...this.cards.map((card) => card.figure));
    this.transport = new Transport({
      go: (at) => this.go(at),
      pause: () => this.pause(),
      toggle: () => this.toggle(),
    });
    this.share = new Share(() =>
      linkTo(location.href, this.data.link, { ...stateOf(this), last: this.data.steps.at(-1).step }, this.mark),
    );
    const alone = { type: "button", class: "pl-share-button", title: "Key p. Arrow keys move, Esc ends." };
    const projector = h("button", { ...alone, onclick: () => project(this) }, "Projector");
    this.strip = new Strip((at) => {
      this.pause();
      this.go(at);
    });
    this.root.replaceChildren(
      h("div", { class: "pl-head" }, this.title),
      h("div", { class: "pl-stage" }, cards, this.wipe.lay(tracks, draw), this.parts.lay()),
      this.transport.element,
      this.words,
      h("div", { class: "pl-bar" }, this.layViews(), projector, this.share.element, this.legend),
      this.strip.lay(tracks),
      this.layMore(draw),
    );
  }

  /** What a first look does not need: the curves, the probe and the microscope. */
  layMore(draw) {
    this.curves = new Curves((step) => this.seek(step));
    const tools = h("div", { class: "pl-tools" }, this.probe.lay(), this.micro.lay());
    for (const tool of tools.children) {
      tool.open = this.root.clientWidth >= NARROW;
      tool.addEventListener("toggle", draw);
    }
    const summary = h("summary", {}, h("h2", {}, "More: the numbers of each step, one pixel, another percentile"));
    const more = h("details", { class: "pl-more", open: this.more }, summary, this.curves.element, tools);
    more.addEventListener("toggle", () => {
      this.more = more.open;
      draw();
    });
    this.folded = more;
    return more;
  }

  layViews() {
    // A single run has nothing to be compared with.
    const { wipe, difference, ...alone } = VIEWS;
    const offered = this.data.tracks.length > 1 ? VIEWS : alone;
    if (!Object.hasOwn(offered, this.view)) this.view = "side";
    return radios("View", offered, this.view, (view) => {
      this.view = view;
      this.draw();
    });
  }

  layCard(track) {
    const { label } = track;
    return new Card(track, {
      select: () => this.select(label),
      point: (x, y) => {
        if (this.data.kind !== "recording") return;
        this.select(label);
        this.probe.move(this.data, x * this.data.size, y * this.data.size);
        this.draw();
      },
    });
  }

  select(label) {
    if (label === this.selected) return;
    this.selected = label;
    this.draw();
  }

  // -- moving --

  go(at) {
    this.at = Math.max(0, Math.min(this.last, at));
    this.draw();
  }

  seek(step) {
    if (this.data.kind !== "recording") return;
    this.pause();
    this.go(closest(this.numbers, step));
  }

  /** Plays on from the shown step after `wait` milliseconds; a longer wait than a step's ends at the first step. */
  play(wait = STEP_MS) {
    if (this.data.kind !== "recording") return;
    if (this.at >= this.last) this.at = 0;
    // Play may be pressed while the next run is unpacked.
    clearTimeout(this.timer);
    const next = () => {
      this.timer = setTimeout(next, STEP_MS);
      this.tick();
    };
    const restart = () => {
      this.timer = setTimeout(next, STEP_MS);
      this.go(0);
    };
    this.timer = setTimeout(wait > STEP_MS ? restart : next, wait);
    this.drawTransport();
  }

  toggle() {
    if (this.timer) this.pause();
    else this.play();
  }

  tick() {
    if (!this.root.isConnected) return this.pause();
    // Out of sight, the run waits.
    if (!this.root.offsetParent) return;
    // Pausing before the last step is drawn lets a screen reader read its sentence.
    if (this.at + 1 >= this.last) this.pause();
    this.go(this.at + 1);
  }

  pause() {
    clearTimeout(this.timer);
    this.timer = null;
    if (this.laid) this.drawTransport();
  }

  // -- drawing --

  draw() {
    if (!this.laid || !this.data?.tracks || !this.root.clientWidth) return;
    const { data, at, track } = this;
    const live = data.kind === "live";
    this.root.dataset.view = live ? "side" : this.view;
    this.drawTransport();
    this.drawCards();
    if (this.more) this.curves.draw(data, at);
    this.words.setAttribute("aria-live", this.timer || live ? "off" : "polite");
    this.words.textContent = sentence(data, at, this.step);
    if (live) return;
    if (this.view === "wipe") this.wipe.draw(data, at);
    if (this.view === "parts") this.parts.draw(data, at, track);
    this.strip.mark(at);
    if (!this.more) return;
    this.probe.draw(data, at, track);
    this.micro.draw(data, at, track);
  }

  drawHead() {
    const { state, facts } = headOf(this.data);
    const { prompt } = this.data.request;
    this.share.element.hidden = !this.data.link;
    this.title.replaceChildren(h("b", {}, state), h("q", { title: prompt }, prompt), h("span", {}, facts));
  }

  drawTransport() {
    if (!this.data?.tracks) return;
    const { at, step, data } = this;
    const live = data.kind === "live";
    const controls = ".pl-transport button, .pl-scrubber, .pl-segments input, .pl-knob input";
    for (const control of this.root.querySelectorAll(controls)) control.disabled = live;
    const last = live ? data.planned - 1 : this.last;
    this.transport.draw({ at, last, step, planned: data.planned, playing: Boolean(this.timer) });
  }

  drawCards() {
    const { data, at, view, track: front } = this;
    const most = Math.max(1, ...data.tracks.map((track) => track.numbers.largest[at]));
    data.tracks.forEach((track, k) => {
      const card = this.cards[k];
      card.figure.classList.toggle("pl-selected", track === front);
      if (data.kind === "live") card.drawLive(data, track, at);
      else card.draw(data, track, at, { view, front, most });
      if (data.kind === "recording") this.probe.place(card.probe, data);
    });
    this.legend.replaceChildren(...legend(data.kind === "live" ? "side" : view, front, at, swatch, this.engine.burnt));
  }
}
