// Elements from values. Text reaches the document as text only, never as markup.

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

/** An element of HTML. Attributes: true sets one without a value, false and null leave it out, on… listens. */
export const h = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);

/** An element of SVG. */
export const v = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

/** An icon of 16 × 16 from the path of its shape. */
export const icon = (path) => v("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, v("path", { d: path }));

let groups = 0;

/** A group of radio buttons; options: text by key; changed(key) is called on a choice. */
export const radios = (label, options, chosen, changed) => {
  // A page may hold several scripts with this module, so a count alone would join their groups.
  const name = `pl-${label}-${groups++}`;
  const option = ([key, text]) =>
    h(
      "label",
      {},
      h("input", { type: "radio", name, value: key, checked: key === chosen, onchange: () => changed(key) }),
      h("span", {}, text),
    );
  return h(
    "div",
    { class: "pl-segments", role: "radiogroup", "aria-label": label },
    ...Object.entries(options).map(option),
  );
};
