import assert from "node:assert/strict";
import { test } from "node:test";
import { linkTo } from "./share.js";

const PAGE = "http://lab.example/page?__theme=dark#top";

test("a link holds what is shown", () => {
  const state = { step: 1, last: 25, view: "mask", rule: "none" };
  assert.equal(linkTo(PAGE, "run=strong", state), "http://lab.example/page?run=strong&step=1&view=mask&rule=none");
});

test("what a visitor finds anyway is left out", () => {
  const state = { step: 25, last: 25, view: "side", rule: "dynamic" };
  assert.equal(linkTo(PAGE, "run=strong", state), "http://lab.example/page?run=strong");
});

test("a link of settings names no step", () => {
  const state = { step: 3, last: 25, view: "mask", rule: "dynamic" };
  assert.equal(linkTo(PAGE, "guidance=3&seed=1", state), "http://lab.example/page?guidance=3&seed=1");
});
