import assert from "node:assert/strict";
import test from "node:test";
import { listenToDrags } from "./drag.js";

const at = (pointerId, clientX, more = {}) => ({ pointerId, clientX, clientY: 0, button: 0, isPrimary: true, ...more });

test("a picture follows the pointer that pressed it, and no other, until it is let go", () => {
  const heard = {};
  const port = {
    setPointerCapture: () => {},
    addEventListener: (name, act) => (heard[name] = act),
    removeEventListener: (name) => delete heard[name],
  };
  const moves = [];
  let press;
  listenToDrags({ addEventListener: (_, act) => (press = act) }, (_, dx) => moves.push(dx));
  press({ ...at(1, 50), target: { closest: () => port } });
  heard.pointermove(at(1, 40));
  heard.pointermove(at(2, 90));
  heard.pointerup(at(2, 90));
  heard.pointermove(at(1, 45));
  heard.pointerup(at(1, 45));
  assert.deepEqual([moves, heard], [[10, -5], {}]);
});

test("a second button or a second finger starts nothing", () => {
  let press;
  listenToDrags({ addEventListener: (_, act) => (press = act) }, () => assert.fail());
  const target = { closest: () => ({ setPointerCapture: () => assert.fail() }) };
  press({ ...at(1, 0, { button: 2 }), target });
  press({ ...at(2, 0, { isPrimary: false }), target });
});
