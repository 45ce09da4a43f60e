// While a slider is dragged, quick drafts; once it rests, the whole run.

// Longer than between two moves of a hand that still drags; our choice.
const REST_MS = 700;

export class Drafts {
  /** draft() begins a draft; whole() begins the whole run, which ends a draft. */
  constructor({ draft, whole, later = (...all) => setTimeout(...all), never = (id) => clearTimeout(id) }) {
    Object.assign(this, { draft, whole, later, never });
    this.timer = null;
    this.drafting = false;
    this.stale = false;
  }

  /** The slider has moved. A draft at work is not ended: it shows more than its first step would. */
  moved() {
    this.never(this.timer);
    this.timer = this.later(() => this.rest(), REST_MS);
    this.stale = this.drafting;
    if (this.drafting) return;
    this.drafting = true;
    this.draft();
  }

  /** A draft has ended by itself; the next is of where the slider is now. */
  ended() {
    this.drafting = false;
    if (!this.stale || this.timer === null) return;
    this.stale = false;
    this.drafting = true;
    this.draft();
  }

  rest() {
    this.timer = null;
    this.drafting = this.stale = false;
    this.whole();
  }

  /** Something else was asked for. */
  cancel() {
    this.never(this.timer);
    this.timer = null;
    this.drafting = this.stale = false;
  }
}
