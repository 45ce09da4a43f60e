import assert from "node:assert/strict";
import { test } from "node:test";
import { moved, placeOf, queryOf } from "./place.js";

const lesson = (number, steps) => ({ number, steps: Array(steps).fill({}) });
const SHELF = { en: [lesson(1, 2), lesson(3, 1)], de: [lesson(1, 2), lesson(3, 1)] };

test("a link leads to its lesson and step", () => {
  assert.deepEqual(placeOf(SHELF, { language: "de", lesson: "1", step: "2" }), { language: "de", lesson: 0, step: 1 });
});

test("what does not exist leads nowhere, or to the beginning", () => {
  for (const lesson of [undefined, "2", "x", "-1", "1e0", {}]) assert.equal(placeOf(SHELF, { lesson }), null);
  assert.deepEqual(placeOf(SHELF, { language: "constructor", lesson: 3, step: 9 }), {
    language: "en",
    lesson: 1,
    step: 0,
  });
});

test("steps go on into the next lesson, and round", () => {
  const first = { language: "en", lesson: 0, step: 0 };
  assert.deepEqual(moved(SHELF, first, 1), { language: "en", lesson: 0, step: 1 });
  assert.deepEqual(moved(SHELF, { ...first, step: 1 }, 1), { language: "en", lesson: 1, step: 0 });
  assert.deepEqual(moved(SHELF, { ...first, lesson: 1 }, 1), first);
  assert.deepEqual(moved(SHELF, first, -1), { language: "en", lesson: 1, step: 0 });
});

test("a link leaves out what is the default", () => {
  assert.equal(queryOf(SHELF, { language: "en", lesson: 1, step: 0 }), "?lesson=3");
  assert.equal(queryOf(SHELF, { language: "de", lesson: 0, step: 1 }), "?lesson=1&step=2&lang=de");
});
