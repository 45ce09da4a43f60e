// The page: a recorded run to look at first, controls, runs of the visitor's own in this tab, and the lessons.

import { h } from "../player/dom.js";
import { askedOf, first, queryOf, Refusal, requestOf, runIn } from "./ask.js";
import { Controls } from "./controls.js";
import { check, plan } from "./engine/plan.js";
import { words } from "./fields.js";
import { Gallery } from "./gallery.js";
import { sizeText } from "./holding.js";
import { Pace } from "./pace.js";
import { FEW_BYTES, Sampling } from "./sampling.js";
import { about, computes, hindrance } from "./speech.js";
import { Status } from "./status.js";
import { Studio } from "./studio.js";

const BASE = 64;
const WAITING = JSON.stringify({ kind: "waiting", note: "The recorded run is on its way …" });

const button = (text, kind, onclick) => h("button", { type: "button", class: kind, onclick }, text);

/** The page of a server that this one lies beside, if the visitor came from there; null else. */
const serverOf = () => {
  const above = new URL("..", new URL(".", location.href)).href;
  return document.referrer.split(/[?#]/)[0] === above ? above : null;
};

/** This browser's store for small things; null where a private window has none. */
const stored = () => {
  try {
    return globalThis.localStorage;
  } catch {
    return null;
  }
};

export class App {
  /** given: what Python says (app/site.py); places: the page's elements by name.
   *
   * kit: { player, lessons, pack, text, digest }: the other scripts' parts, the lessons' text, and SHA-256.
   */
  constructor(given, places, kit) {
    Object.assign(this, { given, places, kit });
    this.asked = first(given);
    this.recorded = null;
    this.touched = false;
    this.status = new Status(() => this.studio.last?.());
    this.gallery = new Gallery(given.manifest.digest);
    this.controls = new Controls({
      given,
      asked: this.asked,
      changed: (name, dragged) => this.changed(name, dragged),
      entered: () => this.generate(),
    });
    this.sampling = new Sampling({
      manifest: given.manifest,
      base: new URL(".", location.href),
      digest: kit.digest,
      hear: (message) => this.hear(message),
      say: (state) => this.status.before(state),
      make: () => new Worker(new URL("engine/worker.js", location.href), { type: "module" }),
    });
    this.lay();
    this.studio = new Studio({
      given,
      asked: () => this.asked,
      changed: () => this.draw(),
      begun: (link) => this.address(link),
      player: this.player,
      gallery: this.gallery,
      status: this.status,
      sampling: this.sampling,
    });
    this.hindered = hindrance({
      protocol: location.protocol,
      worker: Boolean(globalThis.Worker),
      wasm: Boolean(globalThis.WebAssembly),
    });
    this.draw();
    this.follow();
    addEventListener("hashchange", () => this.follow());
    this.tell();
  }

  // -- layout --

  lay() {
    const { controls, places, given, kit } = this;
    const { fields, levels } = controls;
    this.go = button("Generate", "tab-main", () => this.generate());
    this.halt = button("Stop", "tab-stop", () => this.studio.stop());
    this.ups = given.sizes.slice(1).map((size) => button(`Upscale to ${size}`, "", () => this.studio.upscale(size)));
    const runs = Object.entries(given.runs).map(([name, { title }]) =>
      button(title, "tab-example", () => this.example(name)),
    );
    const advanced = ["steps", "sampler", "spacing", "schedule"].map((name) => fields[name].element);
    const more = h("details", { class: "tab-more" }, h("summary", {}, "More settings"), ...advanced);
    more.append(...Object.values(levels).map(({ element }) => element));
    places.ask.replaceChildren(
      fields.prompt.element,
      controls.note,
      fields.guidance.element,
      h("div", { class: "tab-act" }, this.go, this.halt),
      this.status.element,
      this.laySwitch(),
    );
    places.side.replaceChildren(
      fields.w_schedule.element,
      controls.band,
      fields.percentile.element,
      fields.seed.element,
      fields.threshold.element,
      h("div", { class: "tab-ups" }, ...this.ups),
      this.gallery.element,
      h("div", { class: "tab-field tab-runs" }, h("span", { class: "tab-label" }, given.label), ...runs),
      more,
    );
    const site = { get: (address) => this.recordedAt(address), mark: "#" };
    this.player = kit.player.mount(
      places.player,
      () => WAITING,
      () => {},
      site,
    );
    const attempt = (lesson, step) => this.attempt(lesson, step);
    kit.lessons.mount(places.learn, kit.text, { kit: kit.player, load: kit.pack.load, attempt, search: this.query });
    for (const tab of places.tabs) tab.addEventListener("click", () => this.open(tab.dataset.tab));
  }

  /** The way back to a server; it draws the same picture of the same link. */
  laySwitch() {
    const server = serverOf();
    if (!server) return "";
    const entries = ["this tab", "this server"];
    const changed = (place) => {
      if (place === entries[1]) location.assign(`${server}?${this.link(Math.max(...this.given.sizes))}`);
    };
    return words({ label: "Compute on", info: "the server is then told what you ask for", entries, changed }).element;
  }

  /** Shows one of the page's parts: "see" or "learn". */
  open(name) {
    for (const tab of this.places.tabs) tab.setAttribute("aria-selected", String(tab.dataset.tab === name));
    for (const [part, place] of Object.entries(this.places.parts)) place.hidden = part !== name;
  }

  /** Which buttons can be pressed now. */
  draw() {
    const { working, finished } = this.studio;
    this.go.disabled = Boolean(this.hindered);
    this.halt.disabled = !working;
    for (const up of this.ups) up.disabled = working || !finished;
  }

  // -- what the address asks for --

  /** The query of the page's address. What follows a # stays in the browser; a ? is in a server's links. */
  get query() {
    return location.hash.length > 1 ? location.hash.slice(1) : location.search.slice(1);
  }

  /** Shows what the address asks for: a lesson, a recorded run, or settings. */
  async follow() {
    const query = new URLSearchParams(this.query);
    if (query.has("lesson")) this.open("learn");
    const { runs, manifest } = this.given;
    const named = Object.hasOwn(runs, query.get("run") ?? "");
    const name = named ? query.get("run") : Object.keys(runs)[0];
    try {
      const linked = runIn(this.query, this.given, (request) => check(request, manifest));
      if (linked) this.take(linked.request);
      else if (named) this.take(runs[name].request);
      if (linked?.warnings.length) this.status.note(`In the link: ${linked.warnings.join(". ")}.`, true);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.status.note(`The link was not followed. ${error.message}.`, true);
    }
    if (!this.studio.run) await this.show(name, query);
  }

  /** Sets the controls to a run. */
  take(request) {
    this.asked = askedOf(request, this.asked, this.given);
    this.controls.show(this.asked);
    this.price();
  }

  /** Shows a recorded run. */
  async show(name, query = new URLSearchParams()) {
    this.recorded = name;
    try {
      const text = await this.kit.pack.opened(name, query);
      if (this.recorded === name) await this.player.show(text);
    } catch (error) {
      if (this.recorded === name) this.status.note(`The recorded run did not arrive (${error.message}).`, true);
    }
  }

  /** A recorded run at another guidance weight, as the player fetches it. */
  async recordedAt(address) {
    const text = await this.kit.pack.load(address.split("/").at(-1));
    return { ok: true, text: async () => text };
  }

  example(name) {
    this.touched = true;
    this.studio.leave();
    this.take(this.given.runs[name].request);
    this.address(new URLSearchParams({ run: name }));
    this.show(name);
  }

  attempt(lesson, step) {
    this.take(this.given.attempts[lesson][step - 1]);
    this.open("see");
    this.address(this.link());
    this.places.ask.querySelector("textarea").focus();
  }

  address(query) {
    history.replaceState(null, "", `${location.pathname}#${query}`);
  }

  link(size = BASE) {
    return queryOf(requestOf(this.asked, size, this.given), this.given);
  }

  // -- what the visitor does --

  generate() {
    if (this.hindered) return;
    this.touched = true;
    this.recorded = null;
    this.studio.generate();
  }

  changed(name, dragged) {
    this.touched = true;
    // Levels of a link belong to its number of steps.
    if (name === "steps") this.asked.stages[BASE].times = [];
    this.price();
    const { studio } = this;
    if (name === "threshold") this.player.select(this.asked.stages[BASE].threshold);
    else if (dragged && (name === "guidance" || name === "percentile") && studio.run && this.sampling.warm)
      studio.drag();
    // A recorded run follows the slider at once.
    else if (name === "guidance" && !studio.run) this.player.weigh(Number(this.asked.stages[BASE].guidance));
  }

  hear(message) {
    if (message.type === "ready") {
      this.tell();
      this.sampling.holding.tidy();
    } else this.studio.hear(message);
    if (message.type === "done") this.tell();
  }

  /** Says how long Generate takes here. */
  price() {
    const { manifest, rules } = this.given;
    const request = requestOf(this.asked, BASE, this.given);
    const wrong = check(request, manifest);
    if (wrong) {
      this.status.price(`${wrong}.`, true);
      return;
    }
    const { rows } = plan(request.stages[0], manifest);
    const sum = rows.reduce((all, row) => all + row, 0) * rules.length;
    const seconds = this.studio?.pace?.seconds({ base64: sum }) ?? null;
    this.status.price(`${rules.length} rules × ${request.stages[0].steps} steps: ${about(seconds)}.`);
  }

  /** Says what computes here, and what a first run fetches. */
  async tell() {
    if (this.hindered) {
      this.status.means(this.hindered);
      return;
    }
    const means = await this.sampling.found();
    const { digest } = this.given.manifest;
    this.studio.pace ??= new Pace(`${digest.slice(0, 8)}-${means.backend}-${means.threads}`, stored());
    this.price();
    const { bytes } = await this.sampling.lacks([BASE]);
    const fetches = bytes > FEW_BYTES ? ` The first run fetches ${sizeText(bytes)}, once.` : "";
    this.status.means(`${computes(means)}${fetches}`);
  }
}
