// The same run at other guidance weights, recorded before: fetched once, shown without the server.

/** Which of some weights is nearest to w; of two as near, the first. */
export const nearest = (weights, w) =>
  weights.reduce((best, one) => (Math.abs(one - w) < Math.abs(best - w) ? one : best));

/** An address below the page's own, also where the page lies below another one. */
const absolute = (address) => `${globalThis.gradio_config?.root ?? ""}/${address}`;

export class Others {
  /** read(text) makes a recording of what the server answers. */
  constructor(read, get = (address) => fetch(absolute(address))) {
    this.read = read;
    this.get = get;
    this.found = new Map();
  }

  /** The run at the weight nearest to w; null where that is the shown one, or where there is none. */
  async at({ others, tracks }, w) {
    const weights = Object.keys(others ?? {}).map(Number);
    if (!weights.length) return null;
    const near = nearest(weights, w);
    return near === tracks[0].w ? null : this.fetched(others[near]);
  }

  fetched(address) {
    if (!this.found.has(address)) this.found.set(address, this.load(address));
    return this.found.get(address);
  }

  async load(address) {
    try {
      const answer = await this.get(address);
      if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
      return await this.read(await answer.text());
    } catch (error) {
      console.warn("player:", error.message);
      this.found.delete(address);
      return null;
    }
  }

  /** Fetches all in turn, so that a slider finds them there. */
  async fetchAll({ others, tracks }) {
    for (const [w, address] of Object.entries(others ?? {})) if (+w !== tracks[0].w) await this.fetched(address);
  }
}
