// A run's settings in three forms: what the controls hold, the engine's own JSON, and the query of a link
// (imagen_core/settings/text.py).
//
// The controls hold { prompt, seed, size, stages: { 64, 256, 1024 } }: every stage, whether a run reaches it or not, and
// all options that were ever set, so that a choice taken back loses nothing. `given` is what Python says of the model
// (app/site.py).

/** What is wrong with settings, in one line for people. */
export class Refusal extends Error {}

const MOST_LINES = 3;
const MOST_NAME = 40;

const nameOf = (size) => (size === 64 ? "base64" : `sr${size}`);

/** The options that a stage's chosen rules take, with their defaults. */
export const optionsOf = (stage, { kept, choices }) => {
  const chosen = Object.entries(choices).map(([field, entries]) => entries[stage[field]]?.options ?? {});
  return Object.assign({}, kept, ...chosen);
};

/** The settings of a stage as a run has them: without options that its rules do not take, or that are at their default. */
const stageOf = (stage, given) => {
  const taken = optionsOf(stage, given);
  const own = Object.entries(stage.options).filter(([name, x]) => Object.hasOwn(taken, name) && x !== taken[name]);
  return { ...stage, options: Object.fromEntries(own) };
};

/** The engine's JSON of a run up to `size`. */
export const requestOf = ({ prompt, seed, stages }, size, given) => ({
  format: given.format,
  prompt,
  seed,
  count: 1,
  stages: given.sizes.filter((one) => one <= size).map((one) => stageOf(stages[one], given)),
});

/** What the controls hold after a request; stages that it lacks stay as in `before`. */
export const askedOf = (request, before, given) => {
  const stages = { ...before.stages };
  for (const stage of request.stages) {
    // A run leaves out options that are at their default.
    const own = { ...optionsOf(stage, given), ...stage.options };
    stages[stage.size] = { ...stage, options: { ...before.stages[stage.size].options, ...own } };
  }
  return { prompt: request.prompt, seed: request.seed, size: request.stages.at(-1).size, stages };
};

/** What the controls hold at first: the model's defaults, and a prompt. */
export const first = (given) => {
  const { opening, defaults, kept } = given;
  const held = Object.values(defaults).map((stage) => [
    stage.size,
    { ...stage, options: { ...kept, ...stage.options } },
  ]);
  return askedOf(opening, { stages: Object.fromEntries(held) }, given);
};

/** The query of a link that restores a run: the pairs of settings/text.py's to_query. */
export const queryOf = (request, given) => {
  const pairs = [["format", given.format]];
  for (const name of ["prompt", "seed", "count"]) pairs.push([name, request[name]]);
  pairs.push(["size", request.stages.at(-1).size]);
  for (const stage of request.stages) {
    const before = stage.size === 64 ? "" : `${nameOf(stage.size)}.`;
    const own = given.fields.map((name) => [name, stage[name]]);
    const options = Object.entries({ ...given.kept, ...stage.options });
    for (const [name, value] of [...own, ...options]) {
      if (value == null || (Array.isArray(value) && !value.length)) continue;
      pairs.push([`${before}${name}`, Array.isArray(value) ? JSON.stringify(value) : value]);
    }
  }
  return String(new URLSearchParams(pairs));
};

const placeOf = (key) => {
  const at = key.lastIndexOf(".");
  return at < 0 ? ["base64", key] : [key.slice(0, at), key.slice(at + 1)];
};

const numberIn = (text) => (/^-?\d+(\.\d*)?([eE][-+]?\d+)?$/.test(text) ? Number(text) : text);

const valueIn = (name, text, choices) => {
  if (name === "prompt" || Object.hasOwn(choices, name)) return text;
  if (name !== "times") return numberIn(text);
  const inner = text.replace(/^[ [\]]+|[ [\]]+$/g, "");
  return inner ? inner.split(",").map((part) => numberIn(part.trim())) : [];
};

/** The pairs of a query that are settings, by name; Refusal where it is too long or names one twice. */
const pairsIn = (query, { most, shown }) => {
  const found = new Map();
  let length = 0;
  for (const [key, text] of new URLSearchParams(query)) {
    const name = key.replaceAll("-", "_");
    if (name.startsWith("__") || shown.includes(name)) continue;
    length += key.length + text.length;
    if (length > most) throw new Refusal(`link: its query must have at most ${most} characters`);
    if (found.has(name)) throw new Refusal(`link: ${name.slice(0, MOST_NAME)} is given twice`);
    found.set(name, text);
  }
  return found;
};

/** What is wrong with a stage's choices and options, in one line; null where nothing is. */
const wrongWith = (stage, given) => {
  for (const [field, entries] of Object.entries(given.choices)) {
    if (Object.hasOwn(entries, stage[field])) continue;
    const known = Object.keys(entries).join(", ");
    return `${field}: this tab has ${known}, not ${String(stage[field]).slice(0, MOST_NAME)}; a server has all`;
  }
  const taken = optionsOf(stage, given);
  const known = given.manifest.options;
  const other = Object.keys(stage.options).find((name) => !Object.hasOwn(taken, name) && Object.hasOwn(known, name));
  return other ? `${other}: not an option of the chosen rules` : null;
};

/** The run in a link's query: { request, warnings }, or null where the query has no settings.
 *
 * check(request) gives what is wrong with its numbers in one line, or null. Throws Refusal.
 */
export const runIn = (query, given, check) => {
  const pairs = pairsIn(query, given.link);
  if (!pairs.size) return null;
  const read = (name, otherwise) => (pairs.has(name) ? valueIn(name, pairs.get(name), given.choices) : otherwise);
  const size = read("size", 64);
  if (!given.sizes.includes(size)) throw new Refusal(`size: must be one of ${given.sizes.join(", ")}`);
  if (read("format", given.format) !== given.format) throw new Refusal(`link: not of format ${given.format}`);
  const stages = given.sizes.filter((one) => one <= size).map((one) => ({ ...given.defaults[one], options: {} }));
  const { prompt, seed } = given.opening;
  const request = { format: given.format, prompt: read("prompt", prompt), seed: read("seed", seed), count: 1, stages };
  const warnings = read("count", 1) === 1 ? [] : ["count: this tab draws one picture at a time"];
  for (const [key, text] of pairs) {
    if (["format", "prompt", "seed", "count", "size"].includes(key)) continue;
    const [where, name] = placeOf(key);
    const stage = stages.find((one) => nameOf(one.size) === where);
    if (stage && given.fields.includes(name)) stage[name] = valueIn(name, text, given.choices);
    else if (stage && given.options.includes(name)) stage.options[name] = numberIn(text);
    else warnings.push(`${key.slice(0, MOST_NAME)}: unknown setting, ignored`);
  }
  const wrong = stages.map((stage) => wrongWith(stage, given)).find(Boolean) ?? check(request);
  if (wrong) throw new Refusal(wrong);
  const more = warnings.length - MOST_LINES;
  if (more > 0) warnings.splice(MOST_LINES, Infinity, `and ${more} more like these`);
  return { request: { ...request, stages: stages.map((stage) => stageOf(stage, given)) }, warnings };
};
