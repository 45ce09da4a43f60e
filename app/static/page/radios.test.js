import assert from "node:assert/strict";
import test from "node:test";
import { joinRadios } from "./radios.js";

test("the buttons of a group share a name, and groups do not", () => {
  const group = (id, ...names) => {
    const buttons = names.map((name) => ({ name }));
    return { id, buttons, querySelectorAll: () => buttons };
  };
  const groups = [group("rule", "radio-1", "radio-2"), group("", "radio-3", "radio-4")];
  joinRadios({ querySelectorAll: () => groups });
  const names = groups.map(({ buttons }) => buttons.map(({ name }) => name));
  assert.deepEqual(names, [
    ["radios-rule", "radios-rule"],
    ["radios-1", "radios-1"],
  ]);
});
