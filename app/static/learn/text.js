// The text of a lesson as elements: **bold**, *italic* and `code` are all the markup that there is.

import { h } from "../player/dom.js";

const MARK = /\*\*(.+?)\*\*|\*(.+?)\*|`(.+?)`/g;
const TAGS = ["strong", "em", "code"];

/** A text in pieces: [{ tag, text }], where tag is null for plain text. */
export const piecesOf = (text) => {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(MARK)) {
    if (match.index > end) pieces.push({ tag: null, text: text.slice(end, match.index) });
    const k = match.slice(1).findIndex((group) => group !== undefined);
    pieces.push({ tag: TAGS[k], text: match[k + 1] });
    end = match.index + match[0].length;
  }
  if (end < text.length) pieces.push({ tag: null, text: text.slice(end) });
  return pieces;
};

/** A text as nodes. */
export const inline = (text) => piecesOf(text).map(({ tag, text }) => (tag ? h(tag, {}, text) : text));

/** Paragraphs as elements. */
export const paragraphs = (texts) => texts.map((text) => h("p", {}, ...inline(text)));

/** A formula as pieces of text and lit symbols, the parts between asterisks. */
export const formula = (text) =>
  piecesOf(text).map(({ tag, text }) => (tag ? h("b", { class: "learn-lit" }, text) : text));
