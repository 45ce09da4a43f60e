// The model's files: from this browser's store, else from where the page came from. None is used whose digest is wrong.

const STORE = "imagen-lab-weights";

/** A file that did not arrive whole: a sentence for people. */
export class Lost extends Error {}

const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 10e6 ? 1 : 0);

/** Bytes as "4.2 MB" or "35 MB". */
export const sizeText = (bytes) => `${megabytes(bytes)} MB`;

export class Holding {
  /** files: { name: { bytes, sha256 } }; base: the folder's address; arrived(bytes): called as they come.
   *
   * digest(bytes): SHA-256, as a promise. get and stores stand for fetch and caches, which is absent where a page has
   * none: then every visit fetches anew.
   */
  constructor({ files, base, arrived, digest, get = (...all) => fetch(...all), stores = globalThis.caches }) {
    Object.assign(this, { files, base, arrived, digest, get, stores });
    this.coming = new Map();
    this.ending = new AbortController();
  }

  address(name) {
    return new URL(`by-digest/${this.files[name].sha256}`, this.base).href;
  }

  async store() {
    try {
      return await this.stores?.open(STORE);
    } catch {
      // A private window may refuse.
      return null;
    }
  }

  /** The bytes that are still to be fetched of some files. */
  async missing(names) {
    const store = await this.store();
    let sum = 0;
    for (const name of names) if (!(await store?.match(this.address(name)))) sum += this.files[name].bytes;
    return sum;
  }

  /** The bytes of a file; throws Lost. Whoever asks twice at once is given one download. */
  bytes(name) {
    if (!this.coming.has(name)) {
      const coming = this.load(name);
      this.coming.set(name, coming);
      const forget = () => this.coming.delete(name);
      coming.then(forget, forget);
    }
    return this.coming.get(name);
  }

  async load(name) {
    if (!Object.hasOwn(this.files, name)) throw new Lost(`${name}: is no file of this model.`);
    const store = await this.store();
    const held = await store?.match(this.address(name));
    if (held) {
      const bytes = await held.arrayBuffer();
      if (await this.right(name, bytes)) return bytes;
      await store.delete(this.address(name));
    }
    const bytes = await this.fetched(name);
    try {
      await store?.put(this.address(name), new Response(bytes));
    } catch (error) {
      console.info("weights: not kept for the next visit:", error.message);
    }
    return bytes;
  }

  async right(name, bytes) {
    return bytes.byteLength === this.files[name].bytes && hex(await this.digest(bytes)) === this.files[name].sha256;
  }

  /** From the host, past what a browser or proxy kept, which may be of another export; then past all that it kept. */
  async fetched(name, cache = "no-cache") {
    const { bytes: size } = this.files[name];
    const parts = [];
    let got = 0;
    try {
      const answer = await this.get(new URL(name, this.base), { signal: this.ending.signal, cache });
      if (!answer.ok) throw new Lost(`The host has no ${name} (answer ${answer.status}).`);
      for (const reader = answer.body.getReader(); ; ) {
        const { done, value } = await reader.read();
        if (done) break;
        parts.push(value);
        got += value.length;
        this.arrived(value.length);
        if (got > size) break;
      }
    } catch (error) {
      this.arrived(-got);
      if (error instanceof Lost || error.name === "AbortError") throw error;
      throw new Lost(`The connection broke while ${name} was on its way. Files that have arrived are kept.`);
    }
    const whole = await new Blob(parts).arrayBuffer();
    if (await this.right(name, whole)) return whole;
    this.arrived(-got);
    // A host that answers by the time of a change may call a wrong copy unchanged.
    if (cache === "no-cache") return this.fetched(name, "reload");
    if (got < size) throw new Lost(`${name} ended after ${got} of ${size} bytes. Files that have arrived are kept.`);
    throw new Lost(`${name} is not the file that this page was made with: its digest differs. It was not used.`);
  }

  /** Ends what is on its way; files that have arrived whole stay. */
  stop() {
    this.ending.abort();
    this.ending = new AbortController();
  }

  /** Lets go of files of earlier exports of this folder. */
  async tidy() {
    const store = await this.store();
    const own = new Set(Object.keys(this.files).map((name) => this.address(name)));
    const ours = new URL("by-digest/", this.base).href;
    for (const { url } of (await store?.keys()) ?? [])
      if (url.startsWith(ours) && !own.has(url)) await store.delete(url);
  }
}
