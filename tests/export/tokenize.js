// Token ids of the texts on standard input, by the library that a tab uses: node tokenize.js LIBRARY FOLDER
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [library, folder] = process.argv.slice(2);
const { Tokenizer } = await import(pathToFileURL(library).href);
const [tokenizer, config] = ["tokenizer.json", "tokenizer_config.json"].map((name) =>
  JSON.parse(readFileSync(join(folder, name), "utf8")),
);
const own = new Tokenizer(tokenizer, config);
const texts = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(texts.map((text) => own.encode(text).ids)));
