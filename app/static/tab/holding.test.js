import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { Holding, sizeText } from "./holding.js";

const DATA = { one: "the first file", two: "the second" };
const sha = (text) => createHash("sha256").update(text).digest("hex");
const FILES = Object.fromEntries(Object.entries(DATA).map(([n, x]) => [n, { bytes: x.length, sha256: sha(x) }]));
const digest = async (bytes) => createHash("sha256").update(new Uint8Array(bytes)).digest();

/** A store as browsers have it, of addresses. */
const store = () => {
  const held = new Map();
  return {
    held,
    open: async () => ({
      match: async (url) => held.get(url)?.clone(),
      put: async (url, answer) => held.set(url, answer),
      delete: async (url) => held.delete(url),
      keys: async () => [...held.keys()].map((url) => ({ url })),
    }),
  };
};

const holding = (stores, change = (text) => text) => {
  const asked = [];
  let sum = 0;
  const made = new Holding({
    files: FILES,
    base: "https://host.example/lab/weights/",
    arrived: (bytes) => {
      sum += bytes;
    },
    digest,
    stores,
    get: async (url) => {
      asked.push(url.pathname.split("/").at(-1));
      return change(new Response(DATA[asked.at(-1)]));
    },
  });
  return { made, asked, sum: () => sum };
};
const text = (bytes) => new TextDecoder().decode(bytes);

test("a file is fetched once, also when it is asked for twice at once, and found again by its digest", async () => {
  const stores = store();
  const { made, asked, sum } = holding(stores);
  assert.equal(await made.missing(["one", "two"]), 24);
  const [a, b] = await Promise.all([made.bytes("one"), made.bytes("one")]);
  assert.equal(text(a), DATA.one);
  assert.equal(a, b);
  assert.equal(sum(), 14);
  const again = holding(stores);
  assert.equal(text(await again.made.bytes("one")), DATA.one);
  assert.deepEqual([asked, again.asked, await again.made.missing(["one", "two"])], [["one"], [], 10]);
});

test("what did not arrive whole is not used, not kept, and not counted", async () => {
  const broken = () => {
    const pull = (c) => c.error(new TypeError("network error"));
    return new Response(new ReadableStream({ start: (c) => c.enqueue(new Uint8Array(3)), pull }));
  };
  for (const [change, reason] of [
    [() => new Response("the firsT file"), /digest differs/],
    [() => new Response("the fir"), /ended after 7 of 14 bytes/],
    [() => new Response("the first file and more"), /digest differs/],
    [() => new Response("no", { status: 404 }), /answer 404/],
    [broken, /connection broke/],
  ]) {
    const stores = store();
    const { made, sum } = holding(stores, change);
    await assert.rejects(made.bytes("one"), reason);
    assert.deepEqual([stores.held.size, sum()], [0, 0]);
  }
});

test("a damaged copy in the store is fetched anew", async () => {
  const stores = store();
  const { made, asked } = holding(stores);
  stores.held.set(made.address("one"), new Response("the firsT file"));
  assert.equal(text(await made.bytes("one")), DATA.one);
  assert.deepEqual(asked, ["one"]);
});

test("without a store, or with a full one, every visit fetches", async () => {
  const full = {
    open: async () => ({ match: async () => undefined, put: async () => Promise.reject(new Error("full")) }),
  };
  for (const stores of [undefined, full, { open: () => Promise.reject(new Error("private")) }]) {
    assert.equal(text(await holding(stores).made.bytes("two")), DATA.two);
  }
});

test("files of an earlier export are let go, those of other folders stay", async () => {
  const stores = store();
  const { made } = holding(stores);
  await made.bytes("one");
  const other = "https://host.example/other/weights/by-digest/1";
  for (const url of [other, "https://host.example/lab/weights/by-digest/old"]) stores.held.set(url, new Response("x"));
  await made.tidy();
  assert.deepEqual([...stores.held.keys()].sort(), [made.address("one"), other].sort());
});

test("bytes as text", () => assert.deepEqual([4_200_000, 35_400_000].map(sizeText), ["4.2 MB", "35 MB"]));
