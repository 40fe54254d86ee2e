// The candles held in the page: a stretch of the history that grows at both ends and moves.

import { askForCandles } from './ask.js';

const OPEN_LIMIT = 300;
const MORE_LIMIT = 1000;
const MORE_LIMIT_MAX = 5000;
const RENEW_MORE = 150; // beyond both edges of the view: more than where more would be loaded
const RENEW_LIMIT_MAX = 10_000;
const HELD_MAX = 100_000; // many times a page, so that what is in view is never let go
const BEGINNING = '1900-01-01T00:00:00Z';

// The database was restored or a symbol deleted: what is held is of another history.
export class Replaced extends Error {}

export class History {
  #stop = new AbortController();
  #limit = MORE_LIMIT;
  #tag = null;
  #asked = 0;
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

  // The state that was read last, as the stream counts.
  get id() {
    return `${this.epoch}-${this.change}`;
  }

  // Answers are under way, which may be older than what the stream says meanwhile.
  get busy() {
    return this.#asked > 0;
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

  async loadOlder() {
    if (this.older === null || this.opening) return;
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
  }

  // The newest held may have moved since it was read, so it is asked for again.
  async loadNewer() {
    if (!this.newer || this.opening) return;
    const page = await this.#more({ ...this.#query(this.#limit), from: this.last[0] });
    const held = page.candles.length ? this.candles.slice(0, -1) : this.candles;
    const whole = [...held, ...page.candles];
    this.newer = page.next_cursor !== null;
    this.forming = page.forming;
    this.candles = whole.slice(-HELD_MAX);
    if (whole.length > HELD_MAX) this.older = { to: this.first[0] };
  }

  // Reads anew what lies between two indexes and somewhat more, and lets go of the rest. Returns
  // whether anything has changed since this was done last.
  async renew(left, right) {
    if (!this.last && this.newer) return false; // it is a stretch before the first candle
    const end = this.candles[Math.ceil(right) + RENEW_MORE];
    const to = end ? end[0] : this.newer && this.last ? this.last[0] + 1 : null;
    const stop = Math.min(Math.ceil(right) + RENEW_MORE, this.candles.length);
    const limit = Math.max(stop - Math.floor(left) + RENEW_MORE, OPEN_LIMIT);
    const query = this.#query(Math.min(limit, RENEW_LIMIT_MAX));
    const { body, tag } = await this.#ask(to === null ? query : { ...query, to }, this.#tag);
    if (body === null) return false;
    this.#stop.abort(); // what is under way would go on from what is let go
    this.#stop = new AbortController();
    this.#hold(body, to);
    this.#tag = tag;
    return true;
  }

  // Puts in a candle as it is now. Returns what that takes: nothing (null), the drawing of this one
  // (`moved`), or of all (`inserted`).
  merge(candle) {
    const [time] = candle;
    if (!this.#reaches(time)) return null;
    const index = this.#indexOf(time);
    const known = this.candles[index];
    if (known?.every((value, place) => value === candle[place])) return null;
    const isNewest = !this.newer && index >= this.candles.length - 1;
    if (isNewest && (!known || known[0] === time)) this.forming = time;
    if (known?.[0] === time) {
      this.candles[index] = candle;
      return 'moved';
    }
    this.candles = [...this.candles.slice(0, index), candle, ...this.candles.slice(index)];
    if (this.candles.length <= HELD_MAX + MORE_LIMIT) return known || !index ? 'inserted' : 'moved';
    this.candles = this.candles.slice(-HELD_MAX);
    this.older = { to: this.first[0] };
    return 'inserted';
  }

  // Whether a candle of this time belongs among those held; where there are none, to the newest.
  #reaches(time) {
    const { first, last } = this;
    if (!last) return !this.newer;
    return (!this.newer || time <= last[0]) && (this.older === null || time >= first[0]);
  }

  // Of the first candle that starts then or later.
  #indexOf(time) {
    let low = 0;
    let high = this.candles.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.candles[middle][0] < time) low = middle + 1;
      else high = middle;
    }
    return low;
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
      return (await this.#ask(params)).body;
    } finally {
      if (this.#stop === stop) this.opening = false;
    }
  }

  async #more(params) {
    const { body } = await this.#ask(params);
    if (body.epoch !== this.epoch) throw new Replaced();
    return body;
  }

  async #ask(params, tag = null) {
    this.#asked += 1;
    try {
      return await askForCandles(params, this.#stop.signal, tag);
    } finally {
      this.#asked -= 1;
    }
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
    this.#tag = null;
  }
}
