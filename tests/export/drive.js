// Drives the worker of an export as a page does: called in a tab whose address is that of the export's folder.
async ({ messages, until, options }) => {
  const base = new URL("..", location.href).href;
  const manifest = await (await fetch(`${base}weights/manifest.json`)).json();
  const worker = new Worker(`${base}engine/worker.js`, { type: "module" });
  const events = [];
  const fetched = [];
  const packed = (array) => {
    let text = "";
    for (const byte of new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
      text += String.fromCharCode(byte);
    return btoa(text);
  };
  const plain = (value) => {
    if (ArrayBuffer.isView(value)) return packed(value);
    if (Array.isArray(value)) return value.map(plain);
    if (value === null || typeof value !== "object") return value === Infinity ? "inf" : value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
  };
  const answer = async ({ id, name }) => {
    fetched.push(name);
    if (options.broken?.includes(name))
      return worker.postMessage({ type: "bytes", id, error: "This file was altered." });
    const bytes = await (await fetch(`${base}weights/${name}`)).arrayBuffer();
    worker.postMessage({ type: "bytes", id, bytes }, [bytes]);
  };
  const left = [...messages];
  await new Promise((resolve, reject) => {
    worker.onerror = (event) => reject(new Error(event.message));
    worker.onmessage = ({ data }) => {
      if (data.type === "need") return answer(data);
      events.push(plain(data));
      // A message may wait for an event of a type.
      while (left.length && (!left[0].after || left[0].after === data.type)) worker.postMessage(left.shift().message);
      if (data.type === until) resolve();
    };
    worker.postMessage({ type: "load", manifest, vendor: `${base}vendor/`, backend: "wasm", threads: 1 });
  });
  worker.terminate();
  return { events, fetched };
};
