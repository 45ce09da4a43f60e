// From a prompt to the tokens that the networks read.

const parsed = (bytes) => JSON.parse(new TextDecoder().decode(bytes));

/** Why a prompt cannot be read, in a line. */
export class TooLong extends Error {}

/**
 * `read(prompt)` gives a tensor [1, n, width]. Only those shards of the table of words are fetched that the prompt
 * needs. `Tokenizer` is the class of @huggingface/tokenizers.
 */
export const reader = ({ ort, Tokenizer, manifest, open }) => {
  const { text } = manifest;
  const shards = new Map();
  let tokenizer = null;

  const shard = async (number) => {
    if (!shards.has(number)) {
      const bytes = await open.file(text.words.files[number]);
      shards.set(number, new Uint16Array(bytes.slice().buffer));
    }
    return shards.get(number);
  };

  const ids = async (prompt) => {
    tokenizer ??= new Tokenizer(
      parsed(await open.file(text.tokenizer)),
      parsed(await open.file(text.tokenizer_config)),
    );
    return tokenizer.encode(prompt).ids;
  };

  const read = async (prompt) => {
    const found = await ids(prompt);
    if (found.length > text.most_tokens) {
      throw new TooLong(`prompt: has ${found.length} tokens, ${text.name} reads at most ${text.most_tokens}`);
    }
    const words = new Uint16Array(found.length * text.width);
    for (const [i, id] of found.entries()) {
      const table = await shard(Math.floor(id / text.words.rows));
      const row = id % text.words.rows;
      words.set(table.subarray(row * text.width, (row + 1) * text.width), i * text.width);
    }
    const encode = await open.graph(text.graph);
    return (await encode({ words: new ort.Tensor("float16", words, [1, found.length, text.width]) })).tokens;
  };
  return { ids, read };
};
