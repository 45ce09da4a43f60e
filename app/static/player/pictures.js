// Pictures on canvases: pixels, and the pattern that marks what a rule cuts.

import { h } from "./dom.js";

/** A named box with a canvas for pixels, one for the clip mask, and the frame of the probed pixel. */
export const picture = (label, role = "img") => {
  const canvas = h("canvas", { width: 1, height: 1, "aria-hidden": "true" });
  const mask = h("canvas", { class: "pl-zebra", width: 1, height: 1, "aria-hidden": "true" });
  const probe = h("i", { class: "pl-probe" });
  const box = h("div", { class: "pl-picture", role, "aria-label": label }, canvas, mask, probe);
  return { box, canvas, mask, probe };
};

/** Bytes [size × size × 4] of a picture; value(i, c) gives channel c of pixel i in [-1, 1]. */
export const pixelsOf = (size, value) => {
  const bytes = new Uint8ClampedArray(4 * size * size);
  for (let i = 0; i < size * size; i++) {
    for (let c = 0; c < 3; c++) bytes[4 * i + c] = Math.round((value(i, c) + 1) * 127.5);
    bytes[4 * i + 3] = 255;
  }
  return bytes;
};

/** Draws a picture; value as in `pixelsOf`. */
export const paint = (canvas, size, value) => {
  if (canvas.width !== size) canvas.width = canvas.height = size;
  canvas.getContext("2d").putImageData(new ImageData(pixelsOf(size, value), size, size), 0, 0);
};

// Side of the pattern of one pixel, on the mask's canvas.
const CELL = 8;

const stripes = (pen) => {
  for (const d of [-CELL, 0, CELL]) {
    pen.moveTo(d - 1, CELL + 1);
    pen.lineTo(d + CELL + 1, -1);
  }
  pen.stroke();
};

const dots = (pen) => {
  pen.arc(CELL / 2, CELL / 2, CELL / 3.4, 0, 7);
  pen.fill();
};

// Too high: rising stripes, dark on light. Too low: dots, light on dark. So they differ in shape and in brightness.
const PATTERNS = {
  high: { paper: "#ffe3c9", ink: "#a84300", draw: stripes },
  low: { paper: "#06243c", ink: "#8fd0f7", draw: dots },
};
const drawn = {};

/** The pattern of values that are too "high" or too "low", on a canvas of its own. */
const pattern = (kind) => {
  if (drawn[kind]) return drawn[kind];
  const { paper, ink, draw } = PATTERNS[kind];
  const canvas = h("canvas", { width: CELL, height: CELL });
  const pen = canvas.getContext("2d");
  pen.fillStyle = paper;
  pen.fillRect(0, 0, CELL, CELL);
  pen.fillStyle = pen.strokeStyle = ink;
  pen.lineWidth = 2.4;
  pen.beginPath();
  draw(pen);
  drawn[kind] = canvas;
  return canvas;
};

/** A patch of a pattern for the legend. */
export const swatch = (kind) =>
  h("i", { class: "pl-swatch", style: `background-image:url(${pattern(kind).toDataURL()})` });

/** Pixels of which a channel lies above the limit, and those of which one lies below minus the limit. */
export const clipped = (raw, limit) => {
  const n = raw.length / 3;
  const pixels = { low: [], high: [] };
  for (let i = 0; i < n; i++) {
    const channels = [raw[i], raw[n + i], raw[2 * n + i]];
    if (channels.some((x) => x < -limit)) pixels.low.push(i);
    if (channels.some((x) => x > limit)) pixels.high.push(i);
  }
  return pixels;
};

/** Draws the clip mask of one step's raw values [3 × size × size]. */
export const paintMask = (canvas, size, raw, limit) => {
  const side = size * CELL;
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, side, side);
  for (const [kind, pixels] of Object.entries(clipped(raw, limit))) {
    pen.fillStyle = pen.createPattern(pattern(kind), "repeat");
    for (const i of pixels) pen.fillRect((i % size) * CELL, Math.floor(i / size) * CELL, CELL, CELL);
  }
};
