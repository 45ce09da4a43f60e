// Drawing: marks, small builders, pictures, and charts at the size they are shown in, so that text keeps its own.

// Each rule has a colour (Okabe & Ito), a dash and a marker, so that none is told apart by hue alone.
const STYLES = {
  none: ["var(--lab-none)", "1.5 3.5", "M0-4A4 4 0 1 0 0 4A4 4 0 1 0 0-4Z"],
  static: ["var(--lab-static)", "7 4", "M-3.6-3.6H3.6V3.6H-3.6Z"],
  dynamic: ["var(--lab-dynamic)", "", "M0-4.8L4.4 3.2H-4.4Z"],
};
const OTHER = ["var(--lab-other)", "8 3 2 3", "M0-5L5 0L0 5L-5 0Z"];
const style = (rule) => STYLES[rule] ?? OTHER;
const CHANNELS = [["R", "var(--lab-none)"], ["G", "var(--lab-dynamic)"], ["B", "var(--lab-static)"]];
const linear = (value) => value;
// Even within ±1, where pictures are, and logarithmic beyond.
const symlog = (value) => (Math.abs(value) <= 1 ? value : Math.sign(value) * (1 + Math.log(Math.abs(value))));
const CURVES = [
  { name: "s", title: "s, the divisor", place: Math.log, floor: 1, room: 0.5, show: (x) => number(x) },
  { name: "outside", title: "|x̂₀| > 1 before the rule", place: linear, floor: 0, room: 0.05, show: percent },
  { name: "colourfulness", title: "colourfulness (HSV)", place: linear, floor: 0, room: 0.2, show: (x) => number(x) },
  { name: "contrast", title: "contrast", place: linear, floor: 0, room: 0.1, show: (x) => number(x) },
];

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
  const words = [label(1, height - 3, `−${number(m)}`, "start"), label(width - 1, height - 3, number(m), "end")];
  if (width > 90) words.push(label(width / 2, height - 3, "0"));
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
