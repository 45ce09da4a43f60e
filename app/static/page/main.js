// What the page does beside its parts.

import { joinRadios } from "./radios.js";

export const create = () => {
  // Parts of a tab appear when it is first opened.
  new MutationObserver(() => joinRadios(document)).observe(document, { childList: true, subtree: true });
  return {};
};
