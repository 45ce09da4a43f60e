// The files of an export, unpacked, and the graphs in them as functions.

/** A packed file as it was before imagen_core/export/folder.py packed it. */
export const unpacked = async (bytes, { size, planes }) => {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = new Uint8Array(await new Response(stream).arrayBuffer());
  if (!planes) return data;
  const whole = new Uint8Array(data.length);
  const half = data.length / 2;
  for (let i = 0; i < half; i++) {
    whole[2 * i] = data[i];
    whole[2 * i + 1] = data[half + i];
  }
  return whole.subarray(0, size);
};

/** A tensor of float64 or float32 with one number. */
export const number = (ort, value, type = "float64") =>
  new ort.Tensor(type, type === "float64" ? Float64Array.of(value) : Float32Array.of(value), []);

/** A batch of pictures from one array each. */
export const batch = (ort, pictures, side) => {
  const length = pictures[0].length;
  const joined = new Float32Array(pictures.length * length);
  for (const [i, picture] of pictures.entries()) joined.set(picture, i * length);
  return new ort.Tensor("float32", joined, [pictures.length, 3, side, side]);
};

/** The rows of a tensor with these numbers, in this order. */
export const rows = (ort, { type, data, dims }, numbers) => {
  const length = data.length / dims[0];
  const joined = new data.constructor(numbers.length * length);
  for (const [i, row] of numbers.entries()) joined.set(data.subarray(row * length, (row + 1) * length), i * length);
  return new ort.Tensor(type, joined, [numbers.length, ...dims.slice(1)]);
};

/**
 * What opens an export's files: `file(name)` gives the bytes, `graph(name)` a function from tensors by name to tensors
 * by name. Each graph is opened once. `fetchBytes(name)` is asked for a file as it was packed; `provider` computes the
 * networks. Everything else stays on the processor: it is small, and has float16 and float64 that not all cards know.
 */
export const opener = ({ ort, manifest, fetchBytes, provider = "wasm" }) => {
  const open = new Map();
  const networks = new Set(manifest.stages.map(({ graphs }) => graphs.network));
  const file = async (name) => unpacked(await fetchBytes(name), manifest.files[name]);
  const session = async (name) => {
    const place = networks.has(name) ? provider : "wasm";
    const made = await ort.InferenceSession.create(await file(name), { executionProviders: [place] });
    // A graph may not need all that its callers have.
    return (inputs) => made.run(Object.fromEntries(made.inputNames.map((input) => [input, inputs[input]])));
  };
  const graph = (name) => {
    if (!open.has(name)) {
      const opened = session(name);
      open.set(name, opened);
      // What failed is tried again when it is next needed.
      opened.catch(() => open.delete(name));
    }
    return open.get(name);
  };
  return { file, graph };
};
