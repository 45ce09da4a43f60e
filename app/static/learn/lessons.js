// Lessons: predict, reveal, try. One step stands on the page at a time.

import { h, radios } from "../player/dom.js";
import { moved, placeOf, queryOf } from "./place.js";
import { Screen } from "./screen.js";
import { inline, paragraphs } from "./text.js";
import { WORDS } from "./words.js";

// Where learn.css puts the text below the pictures.
const NARROW = "(max-width: 899px)";

export class Lessons {
  /** options: { shelf, languages, kit, load, attempt, query }. attempt(lesson, step) sets the page's controls; null where there are none. */
  constructor(root, options) {
    Object.assign(this, options);
    this.root = root;
    this.at = placeOf(this.shelf, this.query) ?? { language: Object.keys(this.shelf)[0], lesson: 0, step: 0 };
    this.screen = new Screen(this.kit, this.load, this.words.loading);
    this.nav = h("nav", { class: "learn-nav" });
    this.text = h("div", { class: "learn-text" });
    root.classList.add("learn");
    root.replaceChildren(this.nav, h("div", { class: "learn-body" }, this.screen.element, this.text));
    // A hidden tab has no width, and need not load a run.
    new ResizeObserver((_, observer) => {
      if (!root.clientWidth) return;
      observer.disconnect();
      this.draw();
    }).observe(root);
  }

  get words() {
    return WORDS[this.at.language];
  }

  get lesson() {
    return this.shelf[this.at.language][this.at.lesson];
  }

  get step() {
    return this.lesson.steps[this.at.step];
  }

  /** Shows another place, and hands the focus to its heading. */
  go(at) {
    this.at = at;
    this.draw();
    this.heading.focus({ preventScroll: true });
    this.root.scrollIntoView({ block: "nearest" });
  }

  draw() {
    this.root.lang = this.at.language;
    this.drawNav();
    this.drawQuestion();
    this.screen.show(this.step.show, this.words.covered).catch(() => {
      this.screen.uncover(this.words.failed);
    });
  }

  drawNav() {
    const { lesson, language } = this.at;
    const entry = ({ number, title }, k) =>
      h(
        "button",
        {
          type: "button",
          "aria-current": k === lesson ? "true" : null,
          onclick: () => this.go({ language, lesson: k, step: 0 }),
        },
        h("b", {}, String(number)),
        h("span", {}, title),
      );
    const list = h(
      "div",
      { class: "learn-list", role: "group", "aria-label": this.words.lessons },
      ...this.shelf[language].map(entry),
    );
    const choice = radios(this.words.language, this.languages, language, (to) => {
      this.go({ ...this.at, language: to });
      this.nav.querySelector(".pl-segments input:checked").focus();
    });
    this.nav.replaceChildren(list, h("div", { class: "pl" }, choice));
  }

  drawQuestion() {
    const { words, lesson, step, at } = this;
    this.heading = h("h2", { tabindex: -1 }, step.title);
    const answer = (text, k) =>
      h("button", { type: "button", class: "learn-answer", onclick: () => this.reveal(k) }, ...inline(text));
    this.answers = step.answers.map(answer);
    this.outcome = h("div", { class: "learn-outcome", tabindex: -1 });
    const skip = h("button", { type: "button", class: "learn-plain", onclick: () => this.reveal(null) }, words.skip);
    this.text.replaceChildren(
      h("p", { class: "learn-where" }, `${lesson.title} · ${words.step(at.step + 1, lesson.steps.length)}`),
      ...(at.step ? [] : [h("div", { class: "learn-intro" }, ...paragraphs(lesson.intro))]),
      this.heading,
      ...paragraphs(step.predict),
      h("div", { class: "learn-answers", role: "group", "aria-label": words.guess }, ...this.answers, skip),
      this.outcome,
      this.layMoves(),
    );
  }

  layMoves() {
    const { words, shelf, at } = this;
    const move = (by) => () => this.go(moved(shelf, at, by));
    const ends = moved(shelf, at, 1);
    const next = ends.step ? words.next : ends.lesson ? words.nextLesson : words.again;
    this.forward = h("button", { type: "button", class: "learn-next", onclick: move(1) }, next);
    return h(
      "div",
      { class: "learn-moves" },
      at.step || at.lesson
        ? h("button", { type: "button", class: "learn-plain", onclick: move(-1) }, words.back)
        : null,
      this.forward,
      h("a", { class: "learn-link", href: queryOf(shelf, at) }, words.link),
    );
  }

  /** Uncovers the pictures and tells what was asked; `guess` is the chosen answer's place, or null. */
  reveal(guess) {
    const { words, step, answers } = this;
    this.screen.uncover(null);
    answers.forEach((button, k) => {
      button.setAttribute("aria-pressed", String(k === guess));
      button.toggleAttribute("data-right", k === step.right);
      button.toggleAttribute("data-wrong", k === guess && k !== step.right);
    });
    this.text.querySelector(".learn-answers .learn-plain")?.remove();
    const right = guess === step.right;
    const said = guess === null ? null : h("strong", {}, right ? words.right : words.wrong);
    const answer = right ? [] : [" ", h("em", {}, ...inline(step.answers[step.right]))];
    this.outcome.replaceChildren(h("p", {}, said, ...answer), ...paragraphs(step.reveal), this.layAttempt());
    this.outcome.focus({ preventScroll: true });
    const shown = matchMedia(NARROW).matches ? this.screen.element : this.outcome;
    shown.scrollIntoView({ block: "nearest" });
  }

  layAttempt() {
    const { words, lesson, step, at } = this;
    const set = () => this.attempt(lesson.number, at.step + 1);
    return h(
      "div",
      { class: "learn-try" },
      h("h3", {}, words.attempt),
      ...paragraphs(step.attempt),
      this.attempt ? h("button", { type: "button", class: "learn-set", onclick: set }, words.set) : null,
      h("code", {}, step.settings.join("  ")),
    );
  }
}
