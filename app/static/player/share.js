// The Share button: a link to what the player shows, in a field to be copied by hand where the clipboard is closed.

import { h } from "./dom.js";

/** A link to a state of a recording, from the page's address and the query of the recording itself.
 *
 * What a visitor finds anyway is left out: the last step, side by side, dynamic in front. After the mark "#", browsers
 * keep what follows to themselves.
 */
export const linkTo = (address, query, { step, last, view, rule }, mark = "?") => {
  const pairs = new URLSearchParams(query);
  // A link of settings draws a new run, which has no recorded step to show.
  if (pairs.has("run")) {
    if (step !== last) pairs.set("step", step);
    if (view !== "side") pairs.set("view", view);
    if (rule !== "dynamic") pairs.set("rule", rule);
  }
  return `${address.split(/[?#]/)[0]}${mark}${pairs}`;
};

export class Share {
  /** link(): the link now. */
  constructor(link) {
    this.link = link;
    this.button = h("button", { type: "button", class: "pl-share-button", onclick: () => this.share() }, "Share");
    this.field = h("input", { class: "pl-share-field", readonly: true, hidden: true, "aria-label": "Link to this" });
    this.note = h("span", { role: "status" });
    this.element = h("div", { class: "pl-share" }, this.button, this.field, this.note);
  }

  async share() {
    const { field, note } = this;
    field.value = this.link();
    field.hidden = false;
    field.focus();
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      note.textContent = "Copied.";
    } catch {
      // Browsers close the clipboard to pages without https.
      note.textContent = "Copy this link.";
    }
  }
}
