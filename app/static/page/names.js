// Gradio's own names of some parts do not tell a screen reader what they belong to.

const LABEL = '[data-testid="block-label"], [data-testid="block-info"]';
// Named alike in every block.
const ALIKE = ".reset-button, .icon-button-wrapper button, .cm-content";

/** Gives an element a name, where it has another. */
const name = (element, text) => {
  if (element.getAttribute("aria-label") !== text) element.setAttribute("aria-label", text);
};

/** Lets every upload area go by the words that stand in it (WCAG 2.5.3), not by gradio's other words. */
export const nameUploads = (root) => {
  for (const area of root.querySelectorAll("button[aria-dropeffect][aria-label]")) area.removeAttribute("aria-label");
};

/** Names groups of radio buttons by the label of their block, and adds it to names that several blocks share. */
export const nameParts = (root) => {
  for (const label of root.querySelectorAll(LABEL)) {
    const block = label.closest(".block");
    const text = label.textContent.trim();
    if (block.matches("fieldset")) name(block, text);
    for (const part of block.querySelectorAll(ALIKE)) {
      const own = part.getAttribute("aria-label")?.split(": ")[0];
      if (own) name(part, `${own}: ${text}`);
    }
  }
};

/** Hides icons, which would be read as images without a name. */
export const hideIcons = (root) => {
  for (const icon of root.querySelectorAll("svg:not([role], [aria-label], [aria-hidden])")) {
    icon.setAttribute("aria-hidden", "true");
  }
};
