// The candles held in the page: a stretch of the history that grows at both ends.

const OPEN_LIMIT = 300;
const MORE_LIMIT = 1000;
const MORE_LIMIT_MAX = 5000;
const HELD_MAX = 100_000; // many times a page, so that what is in view is never let go
const BEGINNING = '1900-01-01T00:00:00Z';

// The database was restored or a symbol deleted: what is held is of another history.
export class Replaced extends Error {}

async function ask(params, signal) {
  const response = await fetch(`/api/v1/candles?${new URLSearchParams(params)}`, {
    signal,
    headers: { Accept: 'application/json' },
  });
  const answer = await response.json().catch((error) => {
    if (error instanceof SyntaxError) return {};
    throw error;
  });
  if (!response.ok) throw new Error(answer.detail || `The server answered ${response.status}.`);
  return answer;
}

export class History {
  #stop = new AbortController();
  #limit = MORE_LIMIT;
  opening = false;

  // `page` has the shape of GET /api/v1/candles; `to` is where it was cut, null at the live edge.
  constructor(page, to) {
    this.#hold(page, to);
  }

  get first() {
    return this.candles[0];
  }

  get last() {
    return this.candles[this.candles.length - 1];
  }

  // Replaces everything: the newest candles before `to`, or of all.
  async open({ tf, clock, to = null }) {
    const cut = to === null ? {} : { to };
    this.#hold(await this.#only({ symbol: this.symbol, tf, clock, limit: OPEN_LIMIT, ...cut }), to);
  }

  // Replaces everything: the first candles there are.
  async openFirst() {
    const page = await this.#only({ ...this.#query(MORE_LIMIT), from: BEGINNING });
    this.#hold({ ...page, next_cursor: null }, null);
    this.newer = page.next_cursor !== null;
  }

  // Returns how many candles it dropped at the newest end, because it holds as many as it may.
  async loadOlder() {
    if (this.older === null || this.opening) return 0;
    const page = await this.#more({ ...this.#query(this.#limit), ...this.older });
    const start = this.first[0];
    const whole = [...page.candles.filter((candle) => candle[0] < start), ...this.candles];
    this.older = this.#olderThan(page, this.older.to ?? null);
    this.#limit = Math.min(2 * this.#limit, MORE_LIMIT_MAX);
    this.candles = whole.slice(0, HELD_MAX);
    if (whole.length > HELD_MAX) {
      this.newer = true;
      this.forming = null;
    }
    return whole.length - this.candles.length;
  }

  // Returns how many candles it put at the newest end. The newest held may have moved since it was
  // read, so it is asked for again.
  async loadNewer() {
    if (!this.newer || this.opening) return 0;
    const page = await this.#more({ ...this.#query(this.#limit), from: this.last[0] });
    const held = page.candles.length ? this.candles.slice(0, -1) : this.candles;
    const whole = [...held, ...page.candles];
    const added = whole.length - this.candles.length;
    this.newer = page.next_cursor !== null;
    this.forming = page.forming;
    this.candles = whole.slice(-HELD_MAX);
    if (whole.length > HELD_MAX) this.older = { to: this.first[0] };
    return added;
  }

  #query(limit) {
    return { symbol: this.symbol, tf: this.tf, clock: this.clock, limit };
  }

  // A new view makes what is under way pointless.
  async #only(params) {
    this.#stop.abort();
    const stop = new AbortController();
    this.#stop = stop;
    this.opening = true;
    try {
      return await ask(params, stop.signal);
    } finally {
      if (this.#stop === stop) this.opening = false;
    }
  }

  async #more(params) {
    const page = await ask(params, this.#stop.signal);
    if (page.epoch !== this.epoch) throw new Replaced();
    return page;
  }

  // A cursor is good for the query it came from only, so that query's `to` goes with it.
  #olderThan(page, to) {
    if (page.next_cursor === null) return null;
    return to === null ? { cursor: page.next_cursor } : { cursor: page.next_cursor, to };
  }

  #hold(page, to) {
    this.symbol = page.symbol;
    this.tf = page.tf;
    this.clock = page.clock;
    this.candles = page.candles;
    this.older = this.#olderThan(page, to);
    this.newer = to !== null;
    this.forming = page.forming;
    this.epoch = page.epoch;
    this.change = page.change;
    this.#limit = MORE_LIMIT;
  }
}
