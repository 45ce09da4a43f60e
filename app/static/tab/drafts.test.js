import assert from "node:assert/strict";
import { test } from "node:test";
import { Drafts } from "./drafts.js";

const made = () => {
  const log = [];
  let due = null;
  const drafts = new Drafts({
    draft: () => log.push("draft"),
    whole: () => log.push("whole"),
    later: (call) => {
      due = call;
      return 1;
    },
    never: () => {
      due = null;
    },
  });
  return { drafts, log, rest: () => due?.() };
};

test("a drag gives drafts one after another, and the whole run once it rests", () => {
  const { drafts, log, rest } = made();
  drafts.moved();
  drafts.moved();
  drafts.moved();
  assert.deepEqual(log, ["draft"]);
  drafts.ended();
  assert.deepEqual(log, ["draft", "draft"]);
  drafts.ended();
  assert.deepEqual(log, ["draft", "draft"]);
  rest();
  assert.deepEqual(log, ["draft", "draft", "whole"]);
});

test("a slider that rests while a draft is at work begins the whole run, which ends it", () => {
  const { drafts, log, rest } = made();
  drafts.moved();
  rest();
  drafts.ended();
  assert.deepEqual(log, ["draft", "whole"]);
});

test("Stop ends both", () => {
  const { drafts, log, rest } = made();
  drafts.moved();
  drafts.cancel();
  rest();
  drafts.ended();
  assert.deepEqual(log, ["draft"]);
});
