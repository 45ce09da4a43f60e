import assert from "node:assert/strict";
import { test } from "node:test";
import { Pace } from "./pace.js";

const store = () => {
  const held = {};
  return { getItem: (name) => held[name] ?? null, setItem: (name, value) => Object.assign(held, { [name]: value }) };
};

test("a run takes its rows times the median of a row's last seconds", () => {
  const pace = new Pace("x", null);
  assert.equal(pace.seconds({ base64: 10 }), null);
  pace.note("base64", 0, 9, 1);
  assert.equal(pace.seconds({ base64: 10 }), 90);
  for (const [i, seconds] of [2, 2, 40, 2].entries()) pace.note("base64", i + 1, seconds, 2);
  assert.equal(pace.seconds({ base64: 10 }), 10);
  assert.equal(pace.seconds({ base64: 10, sr256: 1 }), null);
});

test("what was learnt is there at the next visit, and a strange store is ignored", () => {
  const kept = store();
  const pace = new Pace("x", kept);
  pace.note("sr256", 0, 3, 1);
  pace.keep();
  assert.equal(new Pace("x", kept).seconds({ sr256: 2 }), 6);
  for (const text of ["{", '{"sr256":"3"}', '{"sr256":-1}', "null"]) {
    assert.equal(new Pace("x", { getItem: () => text }).seconds({ sr256: 1 }), null);
  }
});
