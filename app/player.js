// The player: looks at runs side by side, step by step. One file, no framework, no network; the page, recorded runs and
// the stand-alone report all use it. It takes a string of JSON: a recording (imagen_core/recording.py), the newest frame
// of a run at work, or a note to wait. Whatever a person may have typed reaches the document as text only.
// It reads from values to pictures: decoding, the rules, words and marks, small builders, charts, the player itself.
(() => {
  "use strict";

  // ---- decoding ------------------------------------------------------------------------------------------------

  const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const inflate = async (text) => {
    const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  const halfTable = () => {
    const table = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits++) {
      const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
      if (exponent === 31) table[bits] = fraction ? NaN : sign * Infinity;
      else if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
      else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
    }
    return table;
  };
  let HALF = null;
  // Words are differences from step to step, modulo their size; float16 comes as a plane of low and one of high bytes.
  const decodeHalf = async (text, length) => {
    HALF ??= halfTable();
    const bytes = await inflate(text), n = bytes.length / 2;
    const words = new Uint16Array(n), values = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      words[i] = (bytes[i] | (bytes[n + i] << 8)) + (i < length ? 0 : words[i - length]);
      values[i] = HALF[words[i]];
    }
    return values;
  };
  const decodeEighth = async (text, length, scale) => {
    const bytes = await inflate(text), steps = new Int8Array(bytes.length), values = new Float32Array(bytes.length);
    for (let i = 0; i < bytes.length; i++) {
      steps[i] = bytes[i] + (i < length ? 0 : steps[i - length]);
      values[i] = steps[i] * scale / 127;
    }
    return values;
  };

  // What is shown instead of a recording that cannot be unpacked.
  const unreadable = (error) => {
    console.warn("player:", error);
    return { kind: "waiting", note: window.DecompressionStream
      ? "This run cannot be played: its recording is damaged."
      : "This browser cannot unpack recorded runs; a newer one can." };
  };

  // ---- the rules: a second copy of imagen_core/thresholding.py, held to it by tests/test_player.py -----------------

  const sorted = (raw) => raw.map(Math.abs).sort();
  const quantile = (ranked, q) => {
    const place = q * (ranked.length - 1), below = Math.floor(place);
    const lower = ranked[below], upper = ranked[Math.min(below + 1, ranked.length - 1)];
    return lower + (place - below) * (upper - lower);
  };
  const RULES = {
    none: () => 1,
    static: () => 1,
    dynamic: (ranked, percentile, cap) => Math.min(Math.max(quantile(ranked, percentile / 100), 1), cap ?? Infinity),
  };
  const keep = (rule, x, s) => (rule === "none" ? x : Math.max(-s, Math.min(s, x)) / s);
  const histogram = (values, m, bins = 64) => {
    const counts = new Uint32Array(bins);
    for (const x of values) counts[Math.min(bins - 1, Math.max(0, Math.floor((x + m) / (2 * m) * bins)))]++;
    return counts;
  };
  const share = (values, test) => {
    let n = 0;
    for (const x of values) n += test(x);
    return n / values.length;
  };

  // ---- words and marks ---------------------------------------------------------------------------------------------

  const percent = (x) => {
    if (x > 0 && x < 0.0005) return "< 0.1 %";
    return (x >= 0.0995 || x === 0 ? Math.round(100 * x) : (100 * x).toFixed(1)) + " %";
  };
  const number = (x, digits = 2) => x.toFixed(digits).replace("-", "−");
  // A knob turns by tenths, but a run may have been asked for less.
  const turned = (x) => (+x.toFixed(1) === x ? x.toFixed(1) : String(+x.toFixed(3)));
  // Each rule has a colour (Okabe & Ito), a dash and a marker, so that none is told apart by hue alone.
  const STYLES = {
    none: ["var(--lab-none)", "1.5 3.5", "M0-4A4 4 0 1 0 0 4A4 4 0 1 0 0-4Z"],
    static: ["var(--lab-static)", "7 4", "M-3.6-3.6H3.6V3.6H-3.6Z"],
    dynamic: ["var(--lab-dynamic)", "", "M0-4.8L4.4 3.2H-4.4Z"],
  };
  const OTHER = ["var(--lab-other)", "8 3 2 3", "M0-5L5 0L0 5L-5 0Z"];
  const style = (rule) => STYLES[rule] ?? OTHER;
  const CHANNELS = [["R", "var(--lab-none)"], ["G", "var(--lab-dynamic)"], ["B", "var(--lab-static)"]];
  const VIEWS = {
    side: "Side by side", wipe: "Wipe", difference: "Difference", mask: "Clip mask", parts: "CFG parts",
  };
  const linear = (value) => value;
  // Even within ±1, where pictures are, and logarithmic beyond.
  const symlog = (value) => (Math.abs(value) <= 1 ? value : Math.sign(value) * (1 + Math.log(Math.abs(value))));
  const CURVES = [
    { name: "s", title: "s, the divisor", place: Math.log, floor: 1, room: 0.5, show: (x) => number(x) },
    { name: "outside", title: "share of |x̂₀| > 1", place: linear, floor: 0, room: 0.05, show: percent },
    { name: "colourfulness", title: "HSV saturation", place: linear, floor: 0, room: 0.2, show: (x) => number(x) },
    { name: "contrast", title: "contrast", place: linear, floor: 0, room: 0.1, show: (x) => number(x) },
  ];

  const deed = (track, at, cut) => {
    const outside = percent(track.numbers.outside[at]), s = track.numbers.s[at];
    if (track.rule === "none") return `leaves ${outside} outside ±1`;
    if (track.rule === "static") return `cuts ${outside} flat to ±1`;
    if (s <= 1) return track.rule === "dynamic" ? "s = 1: nothing to divide by" : `${outside} were outside ±1`;
    return `divides by s = ${number(s)}` + (cut === undefined ? "" : `, cuts ${percent(cut)}`);
  };
  // The weight at a step, where the recording says it.
  const weightAt = (track, at) => track.weights?.[at] ?? (track.w_schedule === "constant" ? track.w : null);
  const weight = (w) => `w = ${+w.toFixed(2)}`;
  // What mixed the two estimates. Only the paper's rule is so short that the line can give it.
  const mix = (track, at) => {
    const rule = track.guidance_rule === "cfg" ? "cfg, guided = uncond + w (cond − uncond)" : track.guidance_rule, w = weightAt(track, at);
    if (track.w_schedule === "constant") return `rule ${rule}, ${weight(track.w)} at every step`;
    return `rule ${rule}, schedule ${track.w_schedule}` + (w === null ? "" : `, ${weight(w)} at this step`);
  };
  // Burnt out is |x̂₀| > 0.99. The last step says what became of it all, since by then there is often nothing left to threshold.
  const verdict = (data, step) => {
    const last = (track) => track.numbers.clipped.at(-1), name = (track) => (track.rule === "none" ? "without a rule" : `under ${track.label}`);
    const text = `Step ${step} of ${data.planned}, the end: `;
    const most = Math.max(...data.tracks.map(last)), whatever = data.tracks.length > 1 ? ", whatever the rule" : "";
    if (most === 0) return `${text}no value is burnt out${whatever}.`;
    if (most < 0.0005) return `${text}fewer than 0.1 % of values are burnt out${whatever}.`;
    const burnt = data.tracks.map((track) => `${percent(last(track))} ${name(track)}`);
    const dynamic = data.tracks.find((track) => track.rule === "dynamic"), divisor = Math.max(...(dynamic?.numbers.s ?? [1]));
    burnt[0] = burnt[0].replace(" %", " % of values are burnt out");
    const divided = divisor > 1 ? `${dynamic === data.tracks.at(-1) ? ", which" : "; dynamic"} divided by up to s = ${number(divisor)}` : "";
    return `${text}${burnt.join(", ")}${divided}.`;
  };
  const sentence = (data, at, step) => {
    if (data.kind === "recording" && step === data.planned) return verdict(data, step);
    const by = Object.fromEntries(data.tracks.map((track) => [track.rule, track]));
    const first = by.none ?? data.tracks[0], outside = first.numbers.outside[at];
    let text = `Step ${step} of ${data.planned}: `;
    if (outside === 0) return text + "every value lies within ±1, so there is nothing to threshold.";
    text += `${percent(outside)} of values lie outside ±1${by.none ? " without a rule" : ""}`;
    if (by.static) text += `; static cuts ${percent(by.static.numbers.outside[at])} flat`;
    if (by.dynamic) {
      const s = by.dynamic.numbers.s[at];
      text += s > 1 ? `; dynamic divides by s = ${number(s)}` : "; dynamic has nothing to divide by (s = 1)";
    }
    return text + ".";
  };

  // ---- small builders ----------------------------------------------------------------------------------------------

  const SVG = "http://www.w3.org/2000/svg";
  const build = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value != null) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child != null));
    return node;
  };
  const h = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);
  const v = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);
  const mark = (rule) => v("svg", { class: "pl-mark", viewBox: "-6 -6 12 12", "aria-hidden": "true" },
    v("path", { d: style(rule)[2] }));
  const icon = (d) => v("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, v("path", { d }));
  const ICONS = {
    first: "M3 3h2v10H3zM13 3v10L6 8z", last: "M11 3h2v10h-2zM3 3v10l7-5z",
    play: "M4 2.5v11l9.5-5.5z", pause: "M4 3h3v10H4zM9 3h3v10H9z",
  };
  // Below this width in pixels the tools fold away and the curves stand in pairs.
  const NARROW = 640;
  let serial = 0;
  const radios = (label, options, chosen, changed, kind = "pl-segments") => {
    const name = `pl-${serial++}`;
    return h("div", { class: kind, role: "radiogroup", "aria-label": label },
      ...Object.entries(options).map(([key, text]) => h("label", {},
        h("input", { type: "radio", name, value: key, checked: key === chosen, onchange: () => changed(key) }),
        h("span", {}, text))));
  };
  const picture = (label, role = "img") => {
    const canvas = h("canvas", { width: 1, height: 1 }), zebra = h("canvas", { class: "pl-zebra", width: 1, height: 1 });
    const probe = h("i", { class: "pl-probe" });
    const box = h("div", { class: "pl-picture", role, "aria-label": label }, canvas, zebra, probe);
    return { box, canvas, zebra, probe };
  };
  // value(i, c) gives channel c of pixel i in [-1, 1].
  const paint = (canvas, size, value) => {
    if (canvas.width !== size) canvas.width = canvas.height = size;
    const pixels = new ImageData(size, size), n = size * size;
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = Math.round((value(i, c) + 1) * 127.5);
      pixels.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  };
  // Too high: rising stripes, dark on light. Too low: dots, light on dark. Told apart by shape and by brightness.
  const CELL = 8;
  const tile = (paper, ink, draw) => {
    const canvas = h("canvas", { width: CELL, height: CELL }), pen = canvas.getContext("2d");
    pen.fillStyle = paper;
    pen.fillRect(0, 0, CELL, CELL);
    pen.fillStyle = pen.strokeStyle = ink;
    pen.lineWidth = 2.4;
    pen.beginPath();
    draw(pen);
    return canvas;
  };
  const stripes = (pen) => {
    for (const d of [-CELL, 0, CELL]) { pen.moveTo(d - 1, CELL + 1); pen.lineTo(d + CELL + 1, -1); }
    pen.stroke();
  };
  const dots = (pen) => {
    pen.arc(CELL / 2, CELL / 2, CELL / 3.4, 0, 7);
    pen.fill();
  };
  const TILES = { high: tile("#ffe3c9", "#a84300", stripes), low: tile("#06243c", "#8fd0f7", dots) };
  const zebra = (canvas, size, raw, limit) => {
    const side = size * CELL;
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const pen = canvas.getContext("2d"), n = size * size;
    pen.clearRect(0, 0, side, side);
    const fill = (kind, beyond) => {
      pen.fillStyle = pen.createPattern(TILES[kind], "repeat");
      for (let i = 0; i < n; i++) {
        if (beyond(raw[i]) || beyond(raw[n + i]) || beyond(raw[2 * n + i])) {
          pen.fillRect((i % size) * CELL, Math.floor(i / size) * CELL, CELL, CELL);
        }
      }
    };
    fill("low", (x) => x < -limit);
    fill("high", (x) => x > limit);
  };

  // ---- charts: drawn at the size they are shown in, so that text keeps its own -------------------------------------

  const size = (svg) => [svg.clientWidth || 200, svg.clientHeight || 90];
  const drawHistogram = (svg, counts, m, s, cutAt) => {
    const [width, height] = size(svg), base = height - 15, most = Math.sqrt(Math.max(...counts, 1));
    const x = (value) => (value + m) / (2 * m) * width, bar = width / counts.length;
    const path = { inside: "", outside: "" };
    counts.forEach((count, i) => {
      if (!count) return;
      const centre = ((i + 0.5) / counts.length * 2 - 1) * m, top = base - (base - 14) * Math.sqrt(count) / most;
      path[Math.abs(centre) > cutAt ? "outside" : "inside"] +=
        `M${(i * bar).toFixed(1)} ${base}V${Math.min(top, base - 1).toFixed(1)}h${Math.max(bar - 0.6, 0.6).toFixed(2)}V${base}z`;
    });
    const lines = [];
    for (const [value, kind] of [[1, "one"], ...(s > 1.005 ? [[s, "scale"]] : [])]) {
      for (const at of [-value, value]) {
        lines.push(v("line", { class: `pl-${kind}`, x1: x(at), x2: x(at), y1: 11, y2: base }));
      }
    }
    const near = s > 1.005 && x(s) - x(1) < 26;
    const label = (at, y, text, anchor = "middle", kind = "") => v("text", { x: at, y, "text-anchor": anchor, class: kind }, text);
    const clamp = (at, pad) => Math.max(pad, Math.min(width - pad, at));
    const words = [label(1, height - 3, `−${number(m)}`, "start"), label(width - 1, height - 3, number(m), "end"),
      label(width / 2, height - 3, "0")];
    if (width > 90) words.push(label(clamp(x(1) - (near ? 8 : 0), 8), 9, "1"), label(clamp(x(-1) + (near ? 8 : 0), 8), 9, "−1"));
    if (s > 1.005) words.push(label(clamp(x(s) + (near ? 8 : 0), 8), 9, "s", "middle", "pl-s"),
      label(clamp(x(-s) - (near ? 8 : 0), 8), 9, "−s", "middle", "pl-s"));
    svg.replaceChildren(v("path", { class: "pl-inside", d: path.inside }), v("path", { class: "pl-outside", d: path.outside }),
      v("line", { class: "pl-axis", x1: 0, x2: width, y1: base, y2: base }), ...lines, ...words);
  };

  // lines: [{ values, colour, dash, shape, label }]; x runs over the planned steps, the cursor stands at `at`.
  const drawLines = (svg, lines, { steps, planned, at, ticks, place, show, band }) => {
    const [width, height] = size(svg), left = 34, right = width - 14, top = 8, bottom = height - 16;
    const x = (step) => left + (right - left) * (planned > 1 ? (step - 1) / (planned - 1) : 0.5);
    const low = place(ticks[0]), high = place(ticks.at(-1)), nodes = [], ends = [];
    const y = (value) => bottom - (bottom - top) * (place(value) - low) / (high - low);
    if (band) nodes.push(v("rect", { class: "pl-band", x: left, width: right - left, y: y(1), height: y(-1) - y(1) }));
    for (const value of ticks) {
      nodes.push(v("line", { class: "pl-grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
        v("text", { x: left - 5, y: y(value) + 3.5, "text-anchor": "end" }, show(value)));
    }
    nodes.push(v("text", { x: left, y: height - 3 }, "1"), v("text", { x: right, y: height - 3, "text-anchor": "end" }, planned));
    if (at >= 0) nodes.push(v("line", { class: "pl-cursor", x1: x(steps[at]), x2: x(steps[at]), y1: top - 4, y2: bottom }));
    for (const { values, colour, dash, shape, label, thin } of lines) {
      const points = values.map((value, i) => `${x(steps[i]).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
      const group = v("g", { style: `--rule:${colour}` },
        v("polyline", { points, "stroke-dasharray": dash, class: thin ? "pl-thin" : "" }));
      if (at >= 0 && shape) group.append(v("path", { class: "pl-dot", d: shape,
        transform: `translate(${x(steps[at]).toFixed(1)} ${y(values[at]).toFixed(1)})` }));
      if (label) ends.push({ text: v("text", { class: "pl-end", x: x(steps[values.length - 1]) + 4 }, label), y: y(values.at(-1)) + 4 });
      if (label) group.append(ends.at(-1).text);
      nodes.push(group);
    }
    // Names of lines that end in one place stand below each other.
    ends.sort((a, b) => a.y - b.y).forEach((end, i) => {
      if (i) end.y = Math.max(end.y, ends[i - 1].y + 11);
      end.text.setAttribute("y", end.y);
    });
    svg.replaceChildren(...nodes);
    return (clientX) => {
      const part = (clientX - svg.getBoundingClientRect().left - left) / (right - left);
      return 1 + Math.max(0, Math.min(1, part)) * (planned - 1);
    };
  };

  // ---- the player --------------------------------------------------------------------------------------------------

  class Player {
    constructor(root) {
      this.root = root;
      root.player = this;
      this.view = "side";
      this.at = 0;
      this.selected = null;
      this.pixel = null;
      this.wipe = { left: 0, right: 1, at: 0.5 };
      this.micro = { rule: "dynamic", percentile: 99.5, cap: null };
      this.turn = 0;
      root.classList.add("pl");
      root.addEventListener("keydown", (event) => this.key(event));
      new ResizeObserver(() => { root.toggleAttribute("data-narrow", root.clientWidth < NARROW); this.draw(); }).observe(root);
    }

    // -- values --

    async show(text) {
      const before = this.data;
      let data = JSON.parse(text);
      // A frame that comes after its run was stopped is late.
      if (data.kind === "live" && data.run && data.run === this.ended) return;
      const turn = ++this.turn;
      this.pause();
      if (data.kind === "recording") {
        this.ended = data.run;
        data = await this.decode(data).then(() => data, unreadable);
      }
      if (turn !== this.turn) return;
      this.data = data;
      if (data.kind === "waiting") return this.layWaiting();
      if (data.kind === "live") this.at = data.tracks[0].numbers.s.length - 1;
      else this.at = data.steps.length - 1;
      const same = before?.tracks && this.laid === this.pattern(data);
      if (!same) this.lay();
      this.root.dataset.kind = data.kind;
      if (data.kind === "recording") this.arrive(before);
      this.head();
      this.draw();
      if (data.kind === "live" && before?.kind !== "live") this.appear();
    }

    // Who presses Generate far below should see what comes of it.
    appear() {
      const { top, bottom } = this.cards[0].box.getBoundingClientRect();
      if (!this.root.offsetParent || (top >= 0 && bottom <= innerHeight)) return;
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      this.root.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
    }

    pattern(data) {
      return data.tracks.map((track) => track.label).join("|");
    }

    async decode(data) {
      data.length = 3 * data.size * data.size;
      await Promise.all(data.tracks.map(async (track) => {
        const blob = (name) => data.blobs[`${track.label}/${name}`];
        track.raw = await decodeHalf(blob("raw"), data.length);
        track.kept = blob("kept") ? await decodeHalf(blob("kept"), data.length) : null;
        track.cond = await decodeEighth(blob("cond"), data.length, track.scales.cond);
        track.delta = blob("delta") ? await decodeEighth(blob("delta"), data.length, track.scales.delta) : null;
        for (const values of [track.raw, track.kept, track.cond, track.delta]) {
          if (values && values.length !== data.steps.length * data.length) throw new Error(`${track.label}: not whole`);
        }
      }));
      delete data.blobs;
    }

    arrive(before) {
      const data = this.data;
      this.scrubber.max = data.steps.length - 1;
      const { percentile = 99.5, cap = null } = data.tracks.find((track) => track.rule === "dynamic") ?? {};
      Object.assign(this.micro, { rule: "dynamic", percentile, cap });
      this.syncMicro();
      if (!this.pixel || Math.max(...this.pixel) >= data.size) this.pixel = this.worstPixel();
      // A recorded run plays by itself once; a run that was just watched stays where it ended.
      if (before?.kind !== "live" && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
        this.at = 0;
        this.play();
      }
    }

    // Where the first track strays furthest in the last step, the probe has something to show.
    worstPixel() {
      const { size, steps } = this.data, raw = this.raw(this.data.tracks[0], steps.length - 1), n = size * size;
      let worst = 0, most = 0;
      raw.forEach((x, i) => { if (Math.abs(x) > most) { most = Math.abs(x); worst = i % n; } });
      return [worst % size, Math.floor(worst / size)];
    }

    raw(track, at = this.at) {
      return track.raw.subarray(at * this.data.length, (at + 1) * this.data.length);
    }

    // One value after the rule that the run really had: by the engine's own s, or as the engine sent it.
    value(track, at, i) {
      const place = at * this.data.length + i;
      return track.kept ? track.kept[place] : keep(track.rule, track.raw[place], track.numbers.s[at]);
    }

    // Beyond this a value is cut: by the rule, or at last by the screen.
    limit(track, at = this.at) {
      return track.kept ? 1 : track.numbers.s[at];
    }

    get track() {
      const tracks = this.data.tracks;
      return tracks.find((track) => track.label === this.selected) ?? tracks.find((track) => track.rule === "dynamic") ?? tracks.at(-1);
    }

    // -- layout --

    layWaiting() {
      this.pause();
      this.laid = null;
      this.root.dataset.kind = "waiting";
      this.root.replaceChildren(h("p", { class: "pl-waiting", role: "status" }, this.data.note));
    }

    lay() {
      const { tracks } = this.data;
      this.laid = this.pattern(this.data);
      this.title = h("p", { class: "pl-title" });
      this.words = h("p", { class: "pl-sentence", role: "status" });
      // Of a single run there is nothing to compare.
      const { wipe, difference, ...alone } = VIEWS, offered = tracks.length > 1 ? VIEWS : alone;
      if (!(this.view in offered)) this.view = "side";
      this.views = radios("View", offered, this.view, (view) => { this.view = view; this.draw(); });
      this.cards = tracks.map((track) => this.card(track));
      this.legend = h("p", { class: "pl-legend" });
      this.wiped = picture("Wipe between two rules");
      this.parts = ["cond", "uncond", "difference", "guided"].map((name) => ({ name, ...picture(name), note: h("figcaption"), chart: v("svg", { class: "pl-histogram", role: "img" }) }));
      const stage = h("div", { class: "pl-stage" },
        h("div", { class: "pl-cards", style: `--n:${tracks.length}`, "data-n": tracks.length }, ...this.cards.map((card) => card.figure)),
        this.layWipe(),
        h("div", { class: "pl-parts" }, ...this.parts.map((part) => h("figure", {}, part.note, part.box, part.chart))));
      const tools = h("div", { class: "pl-tools" }, this.layProbe(), this.layMicro());
      for (const tool of tools.children) {
        tool.open = this.root.clientWidth >= NARROW;
        tool.addEventListener("toggle", () => this.draw());
      }
      this.root.replaceChildren(
        h("div", { class: "pl-head" }, this.title, this.words),
        h("div", { class: "pl-bar" }, this.views), stage, this.legend, this.layTransport(), this.layCurves(),
        tools);
    }

    card(track) {
      const shown = picture(`x̂0 under ${track.label}. Arrow keys move the pixel probe.`, "application");
      const note = h("span", { class: "pl-deed" }), chart = v("svg", { class: "pl-histogram", role: "img" });
      shown.box.tabIndex = 0;
      shown.box.addEventListener("pointerdown", (event) => {
        if (this.data.kind !== "recording") return;
        const frame = shown.box.getBoundingClientRect(), clip = (x) => Math.max(0, Math.min(this.data.size - 1, Math.floor(x)));
        this.select(track.label);
        this.pixel = [clip((event.clientX - frame.left) / frame.width * this.data.size),
          clip((event.clientY - frame.top) / frame.height * this.data.size)];
        this.draw();
      });
      shown.box.addEventListener("focus", () => this.select(track.label));
      const figure = h("figure", { class: "pl-card", style: `--rule:${style(track.rule)[0]}` },
        h("figcaption", {}, h("b", {}, mark(track.rule), track.label), note), shown.box, chart);
      return { figure, note, chart, ...shown };
    }

    select(label) {
      if (label === this.selected) return;
      this.selected = label;
      this.draw();
    }

    layWipe() {
      const { tracks } = this.data;
      this.wipe.left = 0;
      this.wipe.right = tracks.length - 1;
      const choose = (side, text) => h("label", {}, text, h("select", { onchange: (event) => { this.wipe[side] = +event.target.value; this.draw(); } },
        ...tracks.map((track, i) => h("option", { value: i, selected: i === this.wipe[side] }, track.label))));
      this.wipeLine = h("i", { class: "pl-wipe-line" });
      this.wiped.box.append(this.wipeLine);
      const slider = h("input", { type: "range", min: 0, max: 100, step: 1, value: 50, "aria-label": "Wipe position",
        oninput: (event) => { this.wipe.at = event.target.value / 100; this.draw(); } });
      const drag = (event) => {
        if (!event.buttons) return;
        const frame = this.wiped.box.getBoundingClientRect();
        slider.value = Math.round((event.clientX - frame.left) / frame.width * 100);
        this.wipe.at = slider.value / 100;
        this.draw();
      };
      this.wiped.box.addEventListener("pointerdown", drag);
      this.wiped.box.addEventListener("pointermove", drag);
      return h("div", { class: "pl-wipe" }, choose("left", "Left of the line"), this.wiped.box, choose("right", "Right of it"), slider);
    }

    layTransport() {
      const button = (name, label, act) => h("button", { type: "button", class: "pl-button", "aria-label": label, title: label, onclick: act }, icon(ICONS[name]));
      this.playButton = button("play", "Play", () => (this.timer ? this.pause() : this.play()));
      this.scrubber = h("input", { type: "range", class: "pl-scrubber", min: 0, max: 1, step: 1, value: 0, "aria-label": "Step",
        oninput: (event) => { const at = +event.target.value; this.pause(); this.go(at); } });
      this.counter = h("output", { class: "pl-counter" });
      return h("div", { class: "pl-transport" },
        button("first", "First step", () => { this.pause(); this.go(0); }), this.playButton,
        button("last", "Last step", () => { this.pause(); this.go(Infinity); }), this.scrubber, this.counter);
    }

    layCurves() {
      this.curves = CURVES.map((curve) => {
        const chart = v("svg", { class: "pl-curve", role: "img", "aria-label": `${curve.title} over the steps` });
        const values = h("span", { class: "pl-values" });
        const self = { ...curve, chart, values, figure: h("figure", {}, h("figcaption", {}, curve.title, values), chart) };
        const seek = (event) => {
          if (!event.buttons || this.data.kind !== "recording") return;
          const step = self.stepAt(event.clientX), steps = this.data.steps.map((x) => Math.abs(x.step - step));
          this.pause();
          this.go(steps.indexOf(Math.min(...steps)));
        };
        chart.addEventListener("pointerdown", seek);
        chart.addEventListener("pointermove", seek);
        return self;
      });
      return h("div", { class: "pl-curves" }, ...this.curves.map((curve) => curve.figure));
    }

    layProbe() {
      this.probeTitle = h("h3");
      this.probeChart = v("svg", { class: "pl-curve pl-probe-chart", role: "img", "aria-label": "Raw and kept value of the pixel over the steps" });
      this.probeTable = h("tbody");
      return h("details", { class: "pl-tool" }, h("summary", {}, this.probeTitle),
        h("p", { class: "pl-hint" }, "Click a picture, or focus one and use the arrow keys. Dotted is raw x̂₀, solid is what the rule kept."),
        this.probeChart,
        h("table", {}, h("thead", {}, h("tr", {}, ...["", "R", "G", "B"].map((text) => h("th", { scope: "col" }, text)))), this.probeTable));
    }

    layMicro() {
      const { micro } = this;
      const turn = () => { this.pause(); this.draw(); };
      const knob = (name, min, max, step) => {
        const output = h("output"), input = h("input", { type: "range", min, max, step, "aria-label": name });
        return { input, output, row: h("label", { class: "pl-knob" }, h("span", {}, name), input, output) };
      };
      this.microRule = radios("Rule in the microscope", { none: "none", static: "static", dynamic: "dynamic" }, micro.rule, (rule) => { micro.rule = rule; turn(); });
      this.microPercentile = knob("Percentile", 50, 100, 0.1);
      this.microPercentile.input.addEventListener("input", (event) => { micro.percentile = +event.target.value; micro.rule = "dynamic"; this.syncMicro(); turn(); });
      this.microCap = knob("Cap on s", 1, 10, 0.1);
      this.microCap.input.addEventListener("input", (event) => { micro.cap = +event.target.value >= 10 ? null : +event.target.value; micro.rule = "dynamic"; this.syncMicro(); turn(); });
      this.microPicture = picture("The held step under the microscope's rule");
      this.microMask = picture("What the microscope's rule cuts");
      this.microChart = v("svg", { class: "pl-histogram", role: "img", "aria-label": "Histogram of the held step" });
      this.microWords = h("p", { class: "pl-micro-words", role: "status" });
      this.microTitle = h("h3");
      return h("details", { class: "pl-tool pl-micro" }, h("summary", {}, this.microTitle),
        h("p", { class: "pl-hint" }, "Turn the rule's knobs on this stored x̂₀. ", h("b", {}, "This step only:"), " the steps after it are not run again."),
        h("div", { class: "pl-knobs" }, this.microRule, this.microPercentile.row, this.microCap.row),
        h("div", { class: "pl-micro-show" }, this.microPicture.box, this.microMask.box, this.microChart), this.microWords);
    }

    syncMicro() {
      const { micro } = this;
      for (const input of this.microRule.querySelectorAll("input")) input.checked = input.value === micro.rule;
      this.microPercentile.input.value = micro.percentile;
      this.microPercentile.output.textContent = turned(micro.percentile);
      this.microCap.input.value = micro.cap ?? 10;
      this.microCap.output.textContent = micro.cap === null ? "none" : turned(micro.cap);
    }

    // -- moving --

    go(at) {
      this.at = Math.max(0, Math.min(this.data.steps.length - 1, at));
      this.draw();
    }

    play() {
      if (this.data.kind !== "recording") return;
      if (this.at >= this.data.steps.length - 1) this.at = 0;
      // Play may have been pressed while this run was still being unpacked.
      clearInterval(this.timer);
      this.timer = setInterval(() => {
        // A place that is gone or out of sight does not tick.
        if (!this.root.isConnected || this.at >= this.data.steps.length - 1) this.pause();
        else if (this.root.offsetParent) this.go(this.at + 1);
      }, 1000 / 6);
      this.drawTransport();
    }

    pause() {
      clearInterval(this.timer);
      this.timer = null;
      if (this.laid) this.drawTransport();
    }

    key(event) {
      if (this.data?.kind !== "recording" || event.altKey || event.ctrlKey || event.metaKey) return;
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (event.target.classList.contains("pl-picture") && move) {
        const clip = (x) => Math.max(0, Math.min(this.data.size - 1, x));
        this.pixel = [clip(this.pixel[0] + move[0]), clip(this.pixel[1] + move[1])];
        this.draw();
      } else if (event.key === " " && event.target === this.scrubber) {
        if (this.timer) this.pause();
        else this.play();
      } else if (move?.[0] && !event.target.matches("input, select")) {
        this.pause();
        this.go(this.at + move[0]);
      } else return;
      event.preventDefault();
    }

    // -- drawing --

    head() {
      const { data } = this, { prompt, seed } = data.request, w = data.tracks[0].w;
      const stopped = data.kind === "recording" && data.steps.at(-1).step < data.planned;
      const state = data.kind === "live" ? "Sampling" : data.title ? `Recorded run: ${data.title}` : stopped ? "Stopped run" : "Your run";
      const facts = [`w = ${w}`, `seed ${seed}`, `${data.planned} steps`, data.kind === "live" ? data.note : data.tracks.length > 1 ? `same noise, ${data.tracks.length} rules` : ""].filter(Boolean).join(" · ");
      this.title.replaceChildren(h("b", {}, state), h("q", { title: prompt }, prompt), h("span", {}, facts));
    }

    draw() {
      if (!this.laid || !this.data?.tracks || !this.root.clientWidth) return;
      const live = this.data.kind === "live";
      this.root.dataset.view = live ? "side" : this.view;
      this.drawTransport();
      this.drawCards(live);
      this.drawCurves();
      this.words.textContent = sentence(this.data, this.at, this.step);
      this.words.setAttribute("aria-live", this.timer || live ? "off" : "polite");
      if (live) return;
      if (this.view === "wipe") this.drawWipe();
      if (this.view === "parts") this.drawParts();
      this.drawProbe();
      this.drawMicro();
    }

    get step() {
      return this.data.steps ? this.data.steps[this.at].step : this.at + 1;
    }

    drawTransport() {
      const live = this.data?.kind !== "recording";
      if (live && this.data?.planned) { this.scrubber.max = this.data.planned - 1; }
      this.scrubber.value = this.at;
      this.scrubber.style.setProperty("--done", `${100 * this.at / Math.max(1, this.scrubber.max)}%`);
      for (const control of this.root.querySelectorAll(".pl-transport button, .pl-scrubber, .pl-segments input, .pl-knob input")) control.disabled = live;
      const name = this.timer ? "Pause" : "Play";
      if (this.playButton.title !== name) {
        this.playButton.title = name;
        this.playButton.setAttribute("aria-label", name);
        this.playButton.replaceChildren(icon(ICONS[this.timer ? "pause" : "play"]));
      }
      if (this.data?.tracks) {
        this.counter.textContent = `${this.step} / ${this.data.planned}`;
        this.scrubber.setAttribute("aria-valuetext", `step ${this.step} of ${this.data.planned}`);
      }
    }

    drawCards(live) {
      const { data, at, view } = this, n = data.size ** 2;
      const m = Math.max(1, ...data.tracks.map((track) => track.numbers.largest[at]));
      data.tracks.forEach((track, k) => {
        const card = this.cards[k], s = track.numbers.s[at];
        card.figure.classList.toggle("pl-selected", track === this.track);
        if (live) {
          const rgb = bytesOf(track.pixels);
          paint(card.canvas, data.size, (i, c) => rgb[3 * i + c] / 127.5 - 1);
          card.note.textContent = deed(track, at);
          drawHistogram(card.chart, track.histogram, data.largest, s, track.rule === "dynamic" ? s : 1);
          return;
        }
        const raw = this.raw(track), limit = this.limit(track), cut = share(raw, (x) => Math.abs(x) > limit);
        card.note.textContent = deed(track, at, cut);
        const value = (i, c) => this.value(track, at, c * n + i);
        if (view === "difference" && track !== this.track) {
          const shown = (t, i, c) => Math.max(-1, Math.min(1, this.value(t, at, c * n + i)));
          paint(card.canvas, data.size, (i, c) => shown(track, i, c) - shown(this.track, i, c));
          card.note.textContent = `${track.label} − ${this.track.label}`;
        } else paint(card.canvas, data.size, value);
        if (view === "difference" && track === this.track) card.note.textContent = "what the others are compared with";
        if (view === "mask") {
          zebra(card.zebra, data.size, raw, limit);
          const above = share(raw, (x) => x > limit), below = share(raw, (x) => x < -limit), edge = limit > 1 ? "s" : "1";
          card.note.textContent = `${percent(above)} above ${edge}, ${percent(below)} below −${edge}`;
        }
        this.placeProbe(card.probe);
        drawHistogram(card.chart, histogram(raw, m), m, s, limit);
        card.chart.setAttribute("aria-label", `Histogram of raw x̂0 under ${track.label} from −${number(m)} to ${number(m)}, s = ${number(s)}`);
      });
      this.legend.replaceChildren(...this.legendOf(live ? "side" : view));
    }

    legendOf(view) {
      const swatch = (kind) => h("i", { class: "pl-swatch", style: `background-image:url(${TILES[kind].toDataURL()})` });
      if (view === "mask") return [swatch("high"), "above the limit", swatch("low"), "below it. The limit is ±1 for none and static, ±s for dynamic."];
      if (view === "difference") return ["Grey is equal; what differs shows as lighter, darker or coloured. Click a picture to compare with it."];
      if (view === "wipe") return ["Drag across the picture, or use the slider: the same step and the same noise, under two rules."];
      if (view === "parts") return [`Guidance under ${this.track.label}, before thresholding: ${mix(this.track, this.at)}. All histograms on one scale.`];
      return ["Under each picture: the guided x̂₀ before the rule (√ of counts); solid lines ±1, dashed ±s, in colour what is cut."];
    }

    placeProbe(probe) {
      const [x, y] = this.pixel, { size: side } = this.data;
      probe.style.cssText = `left:${100 * x / side}%;top:${100 * y / side}%;width:${100 / side}%;height:${100 / side}%`;
    }

    drawWipe() {
      const { data, at, wipe } = this, n = data.size ** 2, edge = wipe.at * data.size;
      const [left, right] = [data.tracks[wipe.left], data.tracks[wipe.right]];
      paint(this.wiped.canvas, data.size, (i, c) => this.value(i % data.size < edge ? left : right, at, c * n + i));
      this.wipeLine.style.left = `${100 * wipe.at}%`;
    }

    drawParts() {
      const { data, at, track } = this, n = data.size ** 2, begin = at * data.length, m = Math.max(1, track.numbers.largest[at]);
      const raw = this.raw(track), cond = track.cond.subarray(begin, begin + data.length);
      const delta = track.unguided?.includes(at) ? null : track.delta?.subarray(begin, begin + data.length);
      const w = weightAt(track, at), by = track.guidance_rule === "cfg" ? "" : ` by ${track.guidance_rule}`;
      // Late in a run the difference is faint, so it is enlarged by what makes it fill half the range.
      const gain = delta ? 2 ** Math.max(0, Math.floor(-1 - Math.log2(Math.max(1e-3, share(delta, Math.abs) * 4)))) : 1;
      const of = {
        cond: ["cond", (i) => cond[i]],
        uncond: ["uncond", (i) => cond[i] - (delta?.[i] ?? 0)],
        difference: [gain > 1 ? `cond − uncond, × ${gain}` : "cond − uncond", (i) => gain * (delta?.[i] ?? 0)],
        guided: [`guided${by}${w === null ? "" : `, ${weight(w)}`}`, (i) => raw[i]],
      };
      for (const part of this.parts) {
        const [text, value] = of[part.name], missing = !delta && (part.name === "uncond" || part.name === "difference");
        part.note.textContent = missing ? `${part.name}: ${w === 1 ? "not evaluated at w = 1" : "not in this recording"}` : text;
        part.box.classList.toggle("pl-missing", missing);
        paint(part.canvas, data.size, (i, c) => (missing ? 0 : value(c * n + i)));
        // On one scale, so that it shows how far guidance stretches what lay within ±1.
        const values = raw.map((_, i) => (missing || part.name === "difference" ? 0 : value(i)));
        part.chart.setAttribute("aria-label", `Histogram of ${part.name} from −${number(m)} to ${number(m)}`);
        part.chart.style.visibility = missing || part.name === "difference" ? "hidden" : "";
        drawHistogram(part.chart, histogram(values, m), m, 1, 1);
      }
    }

    drawCurves() {
      const { data, at } = this, steps = data.steps?.map((x) => x.step) ?? data.tracks[0].numbers.s.map((_, i) => i + 1);
      for (const curve of this.curves) {
        const lines = data.tracks.map((track) => {
          const [colour, dash, shape] = style(track.rule);
          return { values: track.numbers[curve.name], colour, dash, shape };
        });
        const most = Math.max(curve.floor + curve.room, ...lines.flatMap((line) => line.values));
        const { floor, place, show } = curve, middle = place === Math.log ? Math.sqrt(floor * most) : (floor + most) / 2;
        curve.stepAt = drawLines(curve.chart, lines, { ticks: [floor, middle, most], place, show, steps, planned: data.planned, at });
        curve.values.replaceChildren(...data.tracks.map((track, k) => h("span", { style: `--rule:${style(track.rule)[0]}`, title: track.label },
          mark(track.rule), curve.show(lines[k].values[at]))));
      }
    }

    drawProbe() {
      const { data, at, track } = this, [x, y] = this.pixel, n = data.size ** 2, i = y * data.size + x;
      const steps = data.steps.map((step) => step.step), lines = [], rows = { raw: [], kept: [] };
      CHANNELS.forEach(([label, colour], c) => {
        const raw = steps.map((_, k) => track.raw[k * data.length + c * n + i]), kept = steps.map((_, k) => this.value(track, k, c * n + i));
        rows.raw.push(raw[at]);
        rows.kept.push(kept[at]);
        lines.push({ values: raw, colour, dash: "1 3", thin: true }, { values: kept, colour, dash: "", label });
      });
      const most = Math.max(1.6, ...lines.flatMap((line) => line.values.map(Math.abs)));
      this.probeTitle.textContent = `Pixel ${x}, ${y} under ${track.label}`;
      drawLines(this.probeChart, lines, { ticks: [-most, -1, 0, 1, most], place: symlog, show: (value) => number(value, 1), steps, planned: data.planned, at, band: true });
      this.probeTable.replaceChildren(...Object.entries(rows).map(([name, values]) => h("tr", {}, h("th", { scope: "row" }, name),
        ...values.map((value) => h("td", { "data-value": value }, number(value, 3))))));
    }

    drawMicro() {
      const { data, micro, track } = this, n = data.size ** 2, raw = this.raw(track);
      if (this.ranked?.of !== raw.byteOffset || this.ranked.track !== track) this.ranked = { of: raw.byteOffset, track, values: sorted(raw) };
      const s = RULES[micro.rule](this.ranked.values, micro.percentile, micro.cap);
      const m = Math.max(1, this.ranked.values.at(-1));
      paint(this.microPicture.canvas, data.size, (i, c) => keep(micro.rule, raw[c * n + i], s));
      paint(this.microMask.canvas, data.size, (i, c) => keep(micro.rule, raw[c * n + i], s));
      zebra(this.microMask.zebra, data.size, raw, s);
      drawHistogram(this.microChart, histogram(raw, m), m, s, s);
      const cut = share(raw, (x) => Math.abs(x) > s), burnt = share(raw, (x) => Math.abs(keep(micro.rule, x, s)) > 0.99);
      this.microTitle.textContent = `Microscope: step ${this.step} of ${track.label}, held`;
      this.microWords.textContent = `s = ${s.toFixed(3)}; ${percent(cut)} of values lie beyond it, ${percent(burnt)} end up burnt (|x̂₀| > 0.99).`;
      Object.assign(this.microWords.dataset, { s, cut, burnt });
    }
  }

  // place: an element; read(): the value now; watch(changed): call changed() when there is a new one.
  const mount = (place, read, watch) => {
    const player = new Player(place.querySelector(".player-place") ?? place);
    const changed = () => player.show(read());
    watch(changed);
    changed();
    return player;
  };
  window.ImagenPlayer = { mount, RULES, keep, sorted, histogram };
})();
