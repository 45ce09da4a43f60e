// A picture as a PNG that carries every setting of its run, as imagen_core/records/png.py writes it.

const CHUNK = "imagen_lab";
const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const RGB = 2;
const UP = 2;

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

const crcOf = (bytes) => {
  let c = 0xffffffff;
  for (const byte of bytes) c = CRC[(c ^ byte) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
};

const joined = (parts) => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};

const word = (value) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];

const chunk = (kind, data) => {
  const named = joined([new TextEncoder().encode(kind), data]);
  return joined([word(data.length), named, word(crcOf(named))]);
};

// Keyword, then: not packed, no language, no translated keyword.
const text = (name, value) => chunk("iTXt", new TextEncoder().encode(`${name}\0\0\0\0\0${value}`));

/** RGB bytes [size × size × 3] of planar values [3 × size × size] in [-1, 1], rounded as the engine rounds. */
export const bytesIn = (values, size) => {
  const n = size * size;
  // Half to even, as torch.round; Math.round would not be.
  const bytes = new Uint8ClampedArray(3 * n);
  for (let i = 0; i < n; i++) for (let c = 0; c < 3; c++) bytes[3 * i + c] = (values[c * n + i] + 1) * 127.5;
  return bytes;
};

/** Rows of RGB bytes, each as its difference from the row above, which packs better. */
const filtered = (rgb, size) => {
  const row = 3 * size;
  const rows = new Uint8Array(size * (row + 1));
  for (let y = 0; y < size; y++) {
    const at = y * (row + 1);
    rows[at] = UP;
    for (let x = 0; x < row; x++) rows[at + 1 + x] = rgb[y * row + x] - (y ? rgb[(y - 1) * row + x] : 0);
  }
  return rows;
};

const packed = async (bytes) => {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

/** The PNG of planar values [3 × size × size] with a request and facts such as { weights } inside. */
export const pngOf = async (values, size, request, facts) => {
  const texts = [[CHUNK, JSON.stringify(request)], ...Object.entries(facts).map(([k, x]) => [`${CHUNK}_${k}`, x])];
  return joined([
    SIGNATURE,
    chunk("IHDR", [...word(size), ...word(size), 8, RGB, 0, 0, 0]),
    ...texts.map(([name, value]) => text(name, value)),
    chunk("IDAT", await packed(filtered(bytesIn(values, size), size))),
    chunk("IEND", []),
  ]);
};
