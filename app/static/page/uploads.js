// Gradio's own name of an upload area says other words than stand in it (WCAG 2.5.3).

/** Lets every upload area go by the words that stand in it. */
export const nameUploads = (root) => {
  for (const area of root.querySelectorAll("button[aria-dropeffect][aria-label]")) area.removeAttribute("aria-label");
};
