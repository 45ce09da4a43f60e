// What Python sends: checked against the schema that imagen_core/records/payload.py emits.

const TYPES = {
  string: (value) => typeof value === "string",
  number: (value) => Number.isFinite(value),
  integer: (value) => Number.isInteger(value),
  null: (value) => value === null,
  array: (value) => Array.isArray(value),
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

/** Where a value first differs from a schema, in one line; null where it fits. */
export const mismatch = (value, schema, path = "payload") => {
  if ("const" in schema) return value === schema.const ? null : `${path}: must be ${schema.const}`;
  if (schema.anyOf) {
    return schema.anyOf.some((option) => mismatch(value, option) === null) ? null : `${path}: has the wrong type`;
  }
  if (!schema.type) return null;
  if (!TYPES[schema.type](value)) return `${path}: must be of type ${schema.type}`;
  for (const name of schema.required ?? []) if (!(name in value)) return `${path}.${name}: is missing`;
  for (const [name, inner] of Object.entries(schema.type === "object" || schema.type === "array" ? value : {})) {
    const expected = schema.items ?? schema.properties?.[name] ?? schema.additionalProperties;
    const difference = expected ? mismatch(inner, expected, `${path}.${name}`) : null;
    if (difference) return difference;
  }
  return null;
};

/** Which list of a track has another length than the run has steps; null where all fit. */
export const uneven = ({ kind, tracks, steps }) => {
  if (!tracks.length) return "payload.tracks: is empty";
  const count = kind === "recording" ? steps.length : tracks[0].numbers.s.length;
  if (!count) return "payload.steps: is empty";
  for (const [i, track] of tracks.entries()) {
    const lists = { ...track.numbers, ...track.scales, ...(track.weights ? { weights: track.weights } : {}) };
    for (const [name, list] of Object.entries(lists)) {
      if (list.length !== count) return `payload.tracks.${i}.${name}: must have ${count} entries`;
    }
  }
  return null;
};

export const DAMAGED = "This run cannot be played: its recording is damaged.";
export const OUTDATED = "This browser cannot unpack recorded runs; a newer one can.";

/** What the player shows where there is nothing to play. */
export const waiting = (note) => ({ kind: "waiting", note });

/** The payload in a text; a note in its place where the text is damaged. The console says what is wrong with it. */
export const parse = (text, schemas) => {
  try {
    const data = JSON.parse(text);
    const schema = Object.hasOwn(schemas, data?.kind) ? schemas[data.kind] : null;
    if (!schema) throw new Error("payload.kind: is unknown");
    const wrong = mismatch(data, schema) ?? (data.kind === "waiting" ? null : uneven(data));
    if (wrong) throw new Error(wrong);
    return data;
  } catch (error) {
    console.warn("player:", error.message);
    return waiting(DAMAGED);
  }
};
