// Controls of the tab's page: each has an element, shows a value and tells of a visitor's change.

import { h, radios } from "../player/dom.js";

let fields = 0;

const labelled = (label, info, id, ...inputs) =>
  h(
    "div",
    { class: "tab-field" },
    h("label", { for: id }, label, info ? h("small", {}, info) : null),
    h("div", { class: "tab-inputs" }, ...inputs),
  );

/** A number by a slider and a box: { element, show(value) }; changed(value, dragged) with a number, or the text typed. */
export const slider = ({ label, info, range: [min, max], step, changed }) => {
  const id = `tab-field-${fields++}`;
  const box = h("input", { id, type: "number", min, max, step: "any" });
  const track = h("input", { type: "range", min, max, step, "aria-label": `${label}, slider` });
  const done = () => track.style.setProperty("--done", `${(100 * (track.value - min)) / (max - min)}%`);
  const show = (value) => {
    box.value = track.value = value;
    done();
  };
  track.addEventListener("input", () => {
    box.value = track.value;
    done();
    changed(Number(track.value), true);
  });
  box.addEventListener("input", () => {
    track.value = box.value;
    done();
    changed(box.value === "" ? "" : Number(box.value), false);
  });
  return { element: labelled(label, info, id, track, box), show };
};

/** A whole number in a box, with more beside it. */
export const whole = ({ label, range: [min, max], changed }, ...beside) => {
  const id = `tab-field-${fields++}`;
  const box = h("input", { id, type: "number", min, max, step: 1 });
  box.addEventListener("input", () => changed(box.value === "" ? "" : Number(box.value)));
  const show = (value) => {
    box.value = value;
  };
  return { element: labelled(label, "", id, box, ...beside), show };
};

/** One of some entries { value: { title, help } }, which says what the chosen one does. */
export const list = ({ label, entries, changed }) => {
  const id = `tab-field-${fields++}`;
  const options = Object.entries(entries).map(([value, { title }]) => h("option", { value }, title));
  const box = h("select", { id }, ...options);
  const help = h("small", { class: "tab-help" });
  const show = (value) => {
    box.value = value;
    help.textContent = entries[value]?.help ?? "";
  };
  box.addEventListener("change", () => {
    show(box.value);
    changed(box.value);
  });
  const element = labelled(label, "", id, box);
  element.append(help);
  return { element, show };
};

/** One of a few words, as buttons beside each other. */
export const words = ({ label, info, entries, changed }) => {
  const texts = Object.fromEntries(entries.map((entry) => [entry, entry]));
  const group = radios(label, texts, entries[0], changed);
  const show = (value) => {
    const chosen = group.querySelector(`input[value="${CSS.escape(value)}"]`);
    if (chosen) chosen.checked = true;
  };
  const head = h("span", { class: "tab-label" }, label, h("small", {}, info));
  return { element: h("div", { class: "tab-field pl-plain" }, head, group), show };
};

/** A text of several lines; Enter alone does not break a line, it is `entered`. */
export const prose = ({ label, most, changed, entered }) => {
  const id = `tab-field-${fields++}`;
  const box = h("textarea", { id, rows: 2, maxlength: most, spellcheck: false });
  box.addEventListener("input", () => changed(box.value));
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    entered();
  });
  const show = (value) => {
    box.value = value;
  };
  return { element: labelled(label, "", id, box), show };
};
