// Finished pictures, each with a PNG that carries its settings; and the newest estimate of a larger one.

import { h } from "../player/dom.js";
import { bytesIn, pngOf } from "./picture.js";

const BASE = 64;

const rgba = (rgb) => {
  const bytes = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let i = 0, j = 0; i < rgb.length; i += 3, j += 4) {
    bytes[j] = rgb[i];
    bytes[j + 1] = rgb[i + 1];
    bytes[j + 2] = rgb[i + 2];
  }
  return bytes;
};

const draw = (canvas, bytes, size) => {
  if (canvas.width !== size) canvas.width = canvas.height = size;
  canvas.getContext("2d").putImageData(new ImageData(bytes, size, size), 0, 0);
};

const save = async (values, size, request, weights) => {
  const png = await pngOf(values, size, request, { weights });
  const address = URL.createObjectURL(new Blob([png], { type: "image/png" }));
  h("a", { href: address, download: `imagen-${size}-seed${request.seed}.png` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
};

export class Gallery {
  /** weights: the model's digest, which every PNG names. */
  constructor(weights) {
    this.weights = weights;
    this.element = h("div", { class: "tab-gallery" });
    this.preview = null;
  }

  clear() {
    this.preview = null;
    this.element.replaceChildren();
  }

  /** A finished picture: planar values [3 × size × size] and the request that draws it. */
  add(values, request) {
    const stage = request.stages.at(-1);
    const { size } = stage;
    this.drop();
    const canvas = h("canvas", { width: 1, height: 1, role: "img", "aria-label": request.prompt });
    draw(canvas, rgba(bytesIn(values, size)), size);
    const label = `${size} × ${size}, ${request.stages[0].threshold}, seed ${request.seed}`;
    const deed = { type: "button", class: "tab-plain", onclick: () => save(values, size, request, this.weights) };
    const caption = h("figcaption", {}, label, h("button", deed, "Save PNG"));
    // The same picture on its way to a larger one.
    if (size > BASE) this.element.querySelector(`[data-size="${size}"]`)?.remove();
    this.element.prepend(h("figure", { "data-size": size }, canvas, caption));
  }

  /** The estimate at a step of a larger picture: RGBA pixels. */
  show(pixels, size, words) {
    if (!this.preview) {
      const canvas = h("canvas", { width: 1, height: 1 });
      const caption = h("figcaption");
      this.preview = { canvas, caption, figure: h("figure", { class: "tab-preview" }, canvas, caption) };
      this.element.prepend(this.preview.figure);
    }
    draw(this.preview.canvas, pixels, size);
    this.preview.caption.textContent = words;
  }

  /** Takes the preview away. */
  drop() {
    this.preview?.figure.remove();
    this.preview = null;
  }
}
