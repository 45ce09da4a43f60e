import assert from "node:assert/strict";
import test from "node:test";
import { nearest, Others } from "./weights.js";

const RUN = { others: { 1: "recorded/a-1", 12: "recorded/a" }, tracks: [{ w: 12 }] };

test("the nearest weight", () => {
  assert.equal(nearest([1, 3, 5], 4.5), 5);
  assert.equal(nearest([1, 3, 5], 2), 1);
});

test("another weight is fetched once, the shown one never", async () => {
  const asked = [];
  const get = async (address) => {
    asked.push(address);
    return { ok: true, text: async () => address };
  };
  const others = new Others(async (text) => ({ text }), get);
  await others.fetchAll(RUN);
  assert.deepEqual(await others.at(RUN, 0), { text: "recorded/a-1" });
  assert.equal(await others.at(RUN, 11), null);
  assert.equal(await others.at({ tracks: [{ w: 3 }] }, 11), null);
  assert.deepEqual(asked, ["recorded/a-1"]);
});

test("what cannot be fetched is asked for again", async () => {
  let asked = 0;
  const others = new Others(null, async () => ({ ok: false, status: 404 + asked++ }));
  const { warn } = console;
  console.warn = () => {};
  assert.deepEqual([await others.at(RUN, 1), await others.at(RUN, 1), asked], [null, null, 2]);
  console.warn = warn;
});
