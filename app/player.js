// The player: plays a recording (imagen_core/recording.py) step by step. No framework, no network.
(() => {
  "use strict";

  const inflate = async (text) => {
    const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  const HALF = new Float32Array(65536).map((_, bits) => {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    return exponent === 31 ? (fraction ? NaN : sign * Infinity) : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
  const decodeHalf = async (text, length) => {
    const bytes = await inflate(text), n = bytes.length / 2;
    const words = new Uint16Array(n), values = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      words[i] = (bytes[i] | (bytes[n + i] << 8)) + (i < length ? 0 : words[i - length]);
      values[i] = HALF[words[i]];
    }
    return values;
  };

  const mount = (place, read, watch) => {
    const root = place.querySelector(".player-place") ?? place;
    const show = async () => {
      const data = JSON.parse(read());
      root.textContent = "";
      if (data.kind === "waiting") { root.textContent = data.note; return; }
      const length = 3 * data.size ** 2, n = data.size ** 2;
      const last = data.steps ? data.steps.length - 1 : 0;
      for (const track of data.tracks) {
        const canvas = document.createElement("canvas");
        canvas.className = "player-panel";
        canvas.width = canvas.height = data.size;
        const picture = new ImageData(data.size, data.size);
        if (data.kind === "live") {
          const rgb = Uint8Array.from(atob(track.pixels), (c) => c.charCodeAt(0));
          for (let i = 0; i < n; i++) for (let c = 0; c < 4; c++) picture.data[4 * i + c] = c < 3 ? rgb[3 * i + c] : 255;
        } else {
          const raw = await decodeHalf(data.blobs[`${track.label}/raw`], length), s = track.numbers.s[last];
          for (let i = 0; i < n; i++) for (let c = 0; c < 4; c++)
            picture.data[4 * i + c] = c < 3 ? (raw[last * length + c * n + i] / s + 1) * 127.5 : 255;
        }
        canvas.getContext("2d").putImageData(picture, 0, 0);
        root.append(canvas);
      }
    };
    watch(show);
    show();
  };
  window.ImagenPlayer = { mount };
})();
