// A visitor's runs in this tab: drafts, whole runs under all rules, and the enlarging of one picture.

import { queryOf, requestOf } from "./ask.js";
import { Drafts } from "./drafts.js";
import { check } from "./engine/plan.js";
import { Run } from "./run.js";
import { about } from "./speech.js";

const BASE = 64;
const DRAFT_STEPS = 6;
// The player draws at most this often; our choice.
const FRAME_MS = 60;

const total = (numbers) => numbers.reduce((sum, x) => sum + x, 0);

export class Studio {
  /** asked(): what the controls hold; changed(): something has begun or ended; begun(link): a whole run; then parts. */
  constructor({ given, asked, changed, begun, player, gallery, status, sampling }) {
    Object.assign(this, { given, asked, changed, begun, player, gallery, status, sampling });
    this.drafts = new Drafts({ draft: () => this.generate(true), whole: () => this.generate() });
    this.number = 0;
    this.run = null;
    this.finished = null;
    this.last = null;
    this.pace = null;
    this.rows = [];
    this.drawn = 0;
    this.working = false;
  }

  /** A slider of a run of this tab is dragged. */
  drag() {
    this.drafts.moved();
  }

  /** Draws the base under all rules; a draft takes few steps. */
  generate(draft = false) {
    if (!draft) this.drafts.cancel();
    const { given } = this;
    const whole = requestOf(this.asked(), BASE, given);
    const [stage] = whole.stages;
    const few = { ...stage, times: [], steps: Math.min(DRAFT_STEPS, stage.steps) };
    const request = draft ? { ...whole, stages: [few] } : whole;
    if (this.refused(request)) return;
    const id = `run ${++this.number}`;
    const { rules, kept, manifest } = given;
    const link = queryOf(whole, given);
    this.run = new Run({ id, request, rules, weights: manifest.digest, kept, link, draft });
    this.finished = null;
    this.last = () => this.generate();
    if (!draft) this.begun(link);
    this.begin({ run: id, request, rules, detail: true });
  }

  /** Enlarges the picture of the picked rule. */
  upscale(size) {
    const asked = this.asked();
    const { threshold } = asked.stages[BASE];
    const image = this.finished?.images[threshold];
    if (!image) return;
    // The picture's own base: the controls may have moved on.
    const { prompt, seed, stages } = this.finished.request;
    const base = { ...stages[0], threshold };
    const request = requestOf({ prompt, seed, stages: { ...asked.stages, [BASE]: base } }, size, this.given);
    if (this.refused(request)) return;
    this.last = () => this.upscale(size);
    this.enlarged = request;
    this.begin({ run: `run ${++this.number}`, request, rules: null, image: [image], detail: false });
  }

  /** Says what is wrong with a request, if anything is. */
  refused(request) {
    const wrong = check(request, this.given.manifest);
    if (wrong) this.status.failed(`${wrong}.`, false);
    return Boolean(wrong);
  }

  begin(order) {
    this.working = true;
    this.status.working();
    this.changed();
    this.sampling.begin(order);
  }

  stop() {
    this.drafts.cancel();
    this.sampling.stop();
  }

  /** Lets go of the latest run: the player shows something else. */
  leave() {
    this.stop();
    this.run = this.finished = null;
    this.changed();
  }

  /** Takes a message of the sampler. */
  hear(message) {
    const heard = {
      planned: "planned",
      frame: "frame",
      result: "result",
      done: "done",
      stopped: "stopped",
      error: "failed",
    };
    if (Object.hasOwn(heard, message.type)) this[heard[message.type]](message);
  }

  planned({ stage, rows }) {
    this.rows = rows;
    this.status.samples(stage);
  }

  frame(frame) {
    const { stage, index, planned, seconds, tracks, size } = frame;
    this.pace?.note(stage, index, seconds, (this.rows[index] ?? 0) * tracks.length);
    const left = this.left(stage, index, tracks.length);
    if (size !== BASE) {
      this.gallery.show(tracks[0].pixels, size, `SR ${size}: x̂₀ at step ${index + 1} of ${planned}`);
      this.status.note([`SR ${size}, step ${index + 1} of ${planned}`, left].filter(Boolean).join(", "));
      return;
    }
    // Files may still have come since the plan.
    if (!index) this.status.samples(stage);
    this.run.add(frame);
    if (performance.now() - this.drawn < FRAME_MS && index) return;
    this.drawn = performance.now();
    this.player.put(this.run.live(this.run.draft ? "draft" : left));
  }

  /** The seconds that are left of a stage, in words. */
  left(stage, index, tracks) {
    const rows = total(this.rows.slice(index + 1));
    const seconds = this.pace?.seconds({ [stage]: rows * tracks }) ?? null;
    return seconds === null || !rows ? "" : `${about(seconds)} left`;
  }

  result({ size, images, seconds, rules }) {
    if (size === BASE) this.based(images, rules, seconds);
    else {
      const stages = this.enlarged.stages.filter((stage) => stage.size <= size);
      this.gallery.add(images[0], { ...this.enlarged, stages });
      this.status.note(`${size} × ${size} in ${seconds.toFixed(1)} s.`);
    }
  }

  /** The base's pictures under each rule have come. */
  based(images, rules, seconds) {
    const { run } = this;
    if (run.draft) return;
    run.images = Object.fromEntries(rules.map((rule, k) => [rule, images[k]]));
    this.finished = run;
    this.player.put(run.recording());
    this.status.note(`64 × 64 under ${rules.length} rules in ${seconds.toFixed(1)} s.`);
    // In a task of its own, so that the page answers in between.
    setTimeout(() => this.finished === run && this.hang(run, rules));
  }

  /** Shows a run's pictures as PNGs to save. */
  hang(run, rules) {
    this.gallery.clear();
    const picked = this.asked().stages[BASE].threshold;
    const [stage] = run.request.stages;
    // The picked one is added last, and stands first.
    for (const rule of [...rules.filter((rule) => rule !== picked), picked]) {
      this.gallery.add(run.images[rule], { ...run.request, stages: [{ ...stage, threshold: rule }] });
    }
  }

  done() {
    this.pace?.keep();
    this.end();
    this.status.done();
    if (this.run?.draft) this.drafts.ended();
  }

  stopped() {
    this.end();
    this.status.done();
    this.status.note(this.finished ? "Stopped." : "Stopped. A stopped run has no picture to enlarge.");
  }

  failed({ message }) {
    this.drafts.cancel();
    this.end();
    this.status.failed(message, true);
  }

  /** Nothing is at work any more; what a run has shown so far stays. */
  end() {
    this.working = false;
    this.gallery.drop();
    const { run } = this;
    if (run?.frames.length && !this.finished && !run.draft) this.player.put(run.recording());
    this.changed();
  }
}
