// The words of a prompt that training never showed.

// As imagen_core/worlds/world.py reads a text.
const WORD = /[\p{L}\p{N}]+(?:['’][\p{L}\p{N}]+)*/gu;

/** Words in small letters, each once, that are none of `known`; none where it is null: the world cannot say. */
export const unknownWords = (prompt, known) => {
  if (!known) return [];
  return [...new Set(prompt.toLowerCase().match(WORD))].filter((word) => !known.has(word));
};
