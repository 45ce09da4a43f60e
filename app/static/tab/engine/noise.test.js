import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { normal, unitNoise } from "./noise.js";
import { hex, sha256 } from "./sha256.js";

const VECTORS = JSON.parse(readFileSync(new URL("../../../../tests/data/tab_vectors.json", import.meta.url)));

test("noise is what torch draws, to 1e-6, in 10^6 values too", () => {
  for (const { seed, stream, length, places, values } of VECTORS.noise) {
    const drawn = unitNoise(seed, stream, length);
    assert.equal(drawn.length, length);
    for (const [i, place] of places.entries()) {
      assert.ok(Math.abs(drawn[place] - values[i]) < 1e-6, `${stream} ${place}: ${drawn[place]} is not ${values[i]}`);
    }
  }
});

test("digests are those of another program, at every length around a block", () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000]) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 31) % 256);
    assert.equal(hex(sha256(bytes)), createHash("sha256").update(bytes).digest("hex"), `${length} bytes`);
  }
  const part = new Uint8Array(100).subarray(3, 70);
  assert.equal(hex(sha256(part)), createHash("sha256").update(part).digest("hex"));
});

test("too few values are refused", () => {
  assert.throws(() => normal(1, 15), /16/);
});
