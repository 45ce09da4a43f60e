import assert from "node:assert/strict";
import test from "node:test";
import { styleOf } from "./styles.js";

const STYLES = { none: { dash: ":", marker: "o" }, other: { dash: "-.", marker: "D" } };

test("a rule has a colour, a dash and a marker", () => {
  const { colour, dash, marker } = styleOf("none", STYLES);
  assert.deepEqual([colour, dash], ["var(--lab-none)", "1.5 3.5"]);
  assert.match(marker, /^M0-4A/);
});

test("a rule without a style of its own is drawn as other", () => {
  for (const rule of ["squash", "toString"]) assert.equal(styleOf(rule, STYLES).colour, "var(--lab-other)");
});
