// How long a run will take, from the steps that this browser has timed; app/serving/pace.py does the same of a server.

// A row's seconds are the median of the last like steps; our choice.
const LIKE_STEPS = 9;

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

export class Pace {
  /** name: what the seconds hold for; store: a browser's localStorage, or null. */
  constructor(name, store) {
    this.name = `imagen-lab-pace-${name}`;
    this.store = store;
    this.timed = {};
    try {
      const kept = JSON.parse(store?.getItem(this.name) ?? "{}");
      for (const [stage, x] of Object.entries(kept)) if (x > 0 && Number.isFinite(x)) this.timed[stage] = [x];
    } catch {
      // Nothing was kept, or something else was.
    }
  }

  /** Notes a step of so many network rows. A stage's first step also warms up. */
  note(stage, index, seconds, rows) {
    if (!rows || (index === 0 && this.timed[stage])) return;
    this.timed[stage] = [...(this.timed[stage] ?? []), seconds / rows].slice(-LIKE_STEPS);
  }

  /** Keeps what was learnt for the next visit. */
  keep() {
    const rows = Object.entries(this.timed).map(([stage, all]) => [stage, median(all)]);
    try {
      this.store?.setItem(this.name, JSON.stringify(Object.fromEntries(rows)));
    } catch {
      // A full store, or a private window.
    }
  }

  /** The seconds of some stages { name: rows } in all; null where one was never timed. */
  seconds(rows) {
    let sum = 0;
    for (const [stage, count] of Object.entries(rows)) {
      if (!this.timed[stage]) return null;
      sum += count * median(this.timed[stage]);
    }
    return sum;
  }
}
