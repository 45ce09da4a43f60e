import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { h, icon, radios, v } from "./dom.js";

// As much of a document as building elements takes.
class Node {
  constructor(tag, space = "html") {
    Object.assign(this, { tag, space, attributes: {}, listeners: {}, children: [] });
  }
  setAttribute(name, value) {
    this.attributes[name] = String(value);
  }
  addEventListener(name, act) {
    this.listeners[name] = act;
  }
  append(...children) {
    this.children.push(...children);
  }
}

before(() => {
  globalThis.document = {
    createElement: (tag) => new Node(tag),
    createElementNS: (space, tag) => new Node(tag, space),
  };
});
after(() => delete globalThis.document);

test("true sets an attribute, false and null leave it out, and children that are null too", () => {
  const { attributes, children } = h("input", { checked: true, disabled: false, title: null, min: 0 }, null, "text");
  assert.deepEqual([attributes, children], [{ checked: "", min: "0" }, ["text"]]);
});

test("on… listens", () => {
  const onclick = () => {};
  assert.deepEqual(h("button", { onclick }).listeners, { click: onclick });
});

test("SVG has a namespace of its own", () => {
  assert.match(v("path").space, /svg$/);
  assert.equal(icon("M0 0").children[0].attributes.d, "M0 0");
});

test("radio buttons of a group share a name that no other group has", () => {
  const inputs = (group) => group.children.map((label) => label.children[0].attributes);
  const choices = [];
  const [first, second] = ["a", "b"].map((key) => radios("Rule", { a: "A", b: "B" }, key, (to) => choices.push(to)));
  const names = [first, second].map((group) => new Set(inputs(group).map(({ name }) => name)));
  assert.deepEqual([names[0].size, names[1].size, new Set([...names[0], ...names[1]]).size], [1, 1, 2]);
  assert.deepEqual([inputs(first)[0].checked, inputs(first)[1].checked], ["", undefined]);
  first.children[1].children[0].listeners.change();
  assert.deepEqual(choices, ["b"]);
});
