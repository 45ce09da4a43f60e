import assert from "node:assert/strict";
import test, { mock } from "node:test";
import { deflateSync } from "node:zlib";
import { DAMAGED } from "./payload.js";
import { half, unpack, unpackEighths, unpackHalves } from "./unpack.js";

const packed = (...bytes) => deflateSync(Uint8Array.from(bytes)).toString("base64");

test("the bits of a float16", () => {
  assert.deepEqual([0x0000, 0x3c00, 0xbc00, 0x3555, 0x7bff, 0x0001, 0x7c00].map(half), [
    0,
    1,
    -1,
    0.333251953125,
    65504,
    2 ** -24,
    Infinity,
  ]);
  assert.ok(Number.isNaN(half(0x7e00)));
});

test("float16 is added up from step to step, modulo its word", async () => {
  // 1 and then 0: the difference is 0x10000 - 0x3c00 = 0xc400.
  assert.deepEqual([...(await unpackHalves(packed(0x00, 0x00, 0x3c, 0xc4), 1))], [1, 0]);
});

test("int8 is added up from step to step, in units of each step's scale", async () => {
  assert.deepEqual(
    [...(await unpackEighths(packed(127, 129), 1, [2, 0.127]))].map((x) => +x.toFixed(6)),
    [2, 0],
  );
  assert.deepEqual(
    [...(await unpackEighths(packed(127, 130), 1, [2, 0.127]))].map((x) => +x.toFixed(6)),
    [2, 0.001],
  );
});

test("a track without its arrays, or with too few values, is damaged", async () => {
  mock.method(console, "warn", () => {});
  const track = { label: "none", scales: { cond: [1] } };
  const data = { size: 1, steps: [{ step: 1 }], tracks: [track] };
  const cond = packed(0, 0, 0);
  const whole = await unpack({ ...data, blobs: { "none/raw": packed(0, 0, 0, 0x3c, 0x3c, 0x3c), "none/cond": cond } });
  assert.deepEqual([...whole.tracks[0].raw], [1, 1, 1]);
  for (const raw of [undefined, "no base64", "AAAA", packed(0, 0)]) {
    const { note } = await unpack({ ...data, blobs: { "none/raw": raw, "none/cond": cond } });
    assert.equal(note, DAMAGED);
  }
});
