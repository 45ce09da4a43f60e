// What a run costs in wasm: node bench.js FOLDER, a request on standard input. It prints JSON, one event a line.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { opener } from "./graphs.js";
import { reader } from "./language.js";
import { sample } from "./sampling.js";

const [folder] = process.argv.slice(2);
const vendor = (name) => import(pathToFileURL(join(folder, "vendor", name)).href);
const ort = await vendor("ort/ort.wasm.min.mjs");
const { Tokenizer } = await vendor("tokenizers/tokenizers.min.mjs");
const manifest = JSON.parse(readFileSync(join(folder, "weights", "manifest.json"), "utf8"));
const open = opener({ ort, manifest, fetchBytes: async (name) => readFileSync(join(folder, "weights", name)) });
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmBinary = (await open.file(manifest.parts["runtime-wasm"][0])).slice().buffer;
const { read } = reader({ ort, Tokenizer, manifest, open });
const request = JSON.parse(readFileSync(0, "utf8"));
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const began = performance.now();
for await (const event of sample({ ort, manifest, open, read }, request)) {
  if (event.type === "frame") say({ stage: event.stage, index: event.index, seconds: event.seconds });
  if (event.type === "result") say({ stage: event.stage, total: event.seconds });
}
say({ seconds: (performance.now() - began) / 1000, memory_mb: Math.round(process.resourceUsage().maxRSS / 1024) });
process.exit(0);
