import assert from "node:assert/strict";
import test from "node:test";
import { create } from "./main.js";

/** A document with some elements by id, and what listens to it. */
const page = (...ids) => {
  const listeners = {};
  const elements = new Map();
  const element = (id) => ({
    id,
    inert: false,
    clicks: 0,
    listeners: {},
    children: [],
    setAttribute() {},
    addEventListener(name, listener) {
      this.listeners[name] = listener;
    },
    append(child) {
      this.children.push(child);
    },
    after(note) {
      elements.set(note.id, note);
    },
    remove() {
      elements.delete(this.id);
    },
    click() {
      this.clicks += 1;
    },
  });
  for (const id of ids) elements.set(id, element(id));
  globalThis.document = {
    getElementById: (id) => elements.get(id) ?? null,
    createElement: () => element(""),
    addEventListener: (name, listener) => {
      listeners[name] = listener;
    },
  };
  return { elements, press: (id) => listeners.click({ target: { closest: () => ({ id }) } }) };
};

test("files expire after their time, and the button that drew them draws them again", (t) => {
  t.mock.timers.enable({ apis: ["Date", "setInterval"] });
  const { elements, press } = page("files", "first", "second");
  const expiry = create({ milliseconds: 60_000, says: "Gone.", again: "Draw again" });
  expiry.renew("files", ["first", "second"]);
  t.mock.timers.tick(59_000);
  expiry.look();
  assert.equal(elements.get("files-expired"), undefined);
  press("second");
  press("elsewhere");
  t.mock.timers.tick(31_000);
  const note = elements.get("files-expired");
  assert.equal(note.textContent, "Gone. ");
  assert.equal(elements.get("files").inert, true);
  note.children[0].listeners.click();
  assert.equal(elements.get("second").clicks, 1);
  assert.equal(elements.get("first").clicks, 0);
  expiry.renew("files", ["first", "second"]);
  assert.equal(elements.get("files-expired"), undefined);
  assert.equal(elements.get("files").inert, false);
});

test("before any press the first button draws them, and a part that is not there is left alone", (t) => {
  t.mock.timers.enable({ apis: ["Date", "setInterval"] });
  const { elements } = page("files", "first");
  const expiry = create({ milliseconds: 10, says: "Gone.", again: "Draw again" });
  expiry.renew("files", ["first", "second"]);
  expiry.renew("missing", ["first"]);
  t.mock.timers.tick(30_000);
  elements.get("files-expired").children[0].listeners.click();
  assert.equal(elements.get("first").clicks, 1);
  assert.equal(elements.get("missing-expired"), undefined);
});
