import assert from "node:assert/strict";
import { test } from "node:test";
import { peopleIn, watchQueue } from "./offer.js";

test("a place in the queue is read from its line", () => {
  const lines = [
    "3 people before you, about 40 s",
    "12\n people before you",
    "1 person before you, about 3 s",
    "About 7 s",
  ];
  assert.deepEqual(lines.map(peopleIn), [3, 12, 0, 0]);
});

test("the tab is offered while more than two wait, and taken by the switch", () => {
  let look;
  let press;
  let clicks = 0;
  globalThis.MutationObserver = class {
    constructor(changed) {
      look = changed;
    }
    observe() {}
  };
  const line = { textContent: "" };
  const place = { querySelector: () => line };
  const offer = {
    hidden: true,
    querySelector: () => ({
      addEventListener: (_, pressed) => {
        press = pressed;
      },
    }),
  };
  watchQueue(place, offer, { click: () => clicks++ });
  const seen = ["2 people before you", "3 people before you", "About 7 s"].map((text) => {
    line.textContent = text;
    look();
    return offer.hidden;
  });
  press();
  assert.deepEqual([seen, clicks], [[true, false, true], 1]);
});
