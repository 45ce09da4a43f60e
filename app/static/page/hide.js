// Parts of the page that its address may hide: ?hide=rule,seed,compare.

export const PARTS = {
  why: "#why",
  prompt: "#prompt",
  guidance: "#guidance",
  generate: "#act",
  rule: "#rule",
  seed: "#seed, #dice",
  examples: "#examples",
  upscale: "#next",
  builder: "#builder",
  settings: "#advanced",
  views: ".pl-bar",
  strip: ".pl-strip",
  more: ".pl-more",
  cascade: "#tab-cascade-button",
  compare: "#tab-compare-button",
  inspect: "#tab-inspect-button",
};

/** The rule of CSS that hides the parts which a query names; names that are none change nothing. */
export const hiding = (query) => {
  const named = (new URLSearchParams(query).get("hide") ?? "").split(",");
  const places = named.filter((name) => Object.hasOwn(PARTS, name)).map((name) => PARTS[name]);
  return places.length ? `${places.join(", ")} { display: none !important; }` : "";
};
