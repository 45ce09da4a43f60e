import assert from "node:assert/strict";
import test from "node:test";
import { hideIcons, nameParts, nameUploads } from "./names.js";

/** An element with attributes, and what `querySelectorAll` finds in it. */
const element = (attributes, found = []) => ({
  attributes,
  getAttribute: (name) => attributes[name] ?? null,
  setAttribute: (name, value) => {
    attributes[name] = value;
  },
  removeAttribute: (name) => delete attributes[name],
  querySelectorAll: () => found,
});

test("an upload area loses the name that it does not show", () => {
  const area = element({ "aria-label": "Click to upload or drop files" });
  nameUploads({ querySelectorAll: (query) => (query.startsWith("button[aria-dropeffect]") ? [area] : []) });
  assert.deepEqual(area.attributes, {});
});

test("a group goes by its label, and a part by its own name and the label, however often", () => {
  const reset = element({ "aria-label": "Reset to default value" });
  const labelled = (block, textContent) => ({ closest: () => block, textContent });
  const slider = { ...element({}, [reset]), matches: () => false };
  const radios = { ...element({}), matches: (query) => query === "fieldset" };
  const label = labelled(slider, " Steps ");
  const root = { querySelectorAll: () => [label, labelled(radios, "View")] };
  nameParts(root);
  nameParts(root);
  assert.deepEqual(
    [reset, slider, radios].map((part) => part.attributes["aria-label"]),
    ["Reset to default value: Steps", undefined, "View"],
  );
  label.textContent = "Pictures";
  nameParts(root);
  assert.equal(reset.attributes["aria-label"], "Reset to default value: Pictures");
});

test("an icon is hidden from a screen reader", () => {
  const icon = element({});
  hideIcons(element({}, [icon]));
  assert.equal(icon.attributes["aria-hidden"], "true");
});
