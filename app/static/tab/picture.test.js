import assert from "node:assert/strict";
import { test } from "node:test";
import { inflateSync } from "node:zlib";
import { bytesIn, pngOf } from "./picture.js";

test("values are rounded as the engine rounds, half to even, and cut at the range's ends", () => {
  const values = Float32Array.from([-1, 1, 0, 3, ...Array(8).fill(-4)]);
  assert.deepEqual(
    [...bytesIn(values, 2)].filter((_, i) => i % 3 === 0),
    [0, 255, 128, 255],
  );
});

test("a PNG has the picture's rows, and its settings before them", async () => {
  const size = 8;
  const values = Float32Array.from({ length: 3 * size * size }, (_, i) => Math.sin(i));
  const bytes = await pngOf(values, size, { prompt: "ünï" }, { weights: "abc" });
  const view = new DataView(bytes.buffer);
  const chunks = [];
  for (let at = 8; at < bytes.length; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    chunks.push([kind, bytes.subarray(at + 8, at + 8 + length)]);
    at += 12 + length;
  }
  assert.deepEqual(
    chunks.map(([kind]) => kind),
    ["IHDR", "iTXt", "iTXt", "IDAT", "IEND"],
  );
  assert.equal(new TextDecoder().decode(chunks[1][1]), 'imagen_lab\0\0\0\0\0{"prompt":"ünï"}');
  assert.equal(new TextDecoder().decode(chunks[2][1]), "imagen_lab_weights\0\0\0\0\0abc");
  const rows = inflateSync(chunks[3][1]);
  const wanted = bytesIn(values, size);
  const row = 3 * size;
  for (let y = 0; y < size; y++) {
    assert.equal(rows[y * (row + 1)], 2);
    for (let x = 0; x < row; x++) {
      const above = y ? wanted[(y - 1) * row + x] : 0;
      assert.equal((rows[y * (row + 1) + 1 + x] + above) & 255, wanted[y * row + x]);
    }
  }
});
