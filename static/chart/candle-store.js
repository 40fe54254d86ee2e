// The loaded candles: a range of the history that grows at both ends and moves.

import { CandleRequests } from './candle-requests.js';

/** @import { Candle, CandlePage } from '../lib/api.js' */

const OPEN_LIMIT = 300;
const MORE_LIMIT = 1000;
const MORE_LIMIT_MAX = 5000;
const RELOAD_MARGIN = 150; // beyond both edges of the view; more than the history loader's margin
const RELOAD_LIMIT_MAX = 10_000;
const CANDLES_MAX = 100_000; // many times a page, so candles in view are never dropped
const BEGINNING = '1900-01-01T00:00:00Z';

const rangeTo = (/** @type {number | null} */ to) => (to === null ? {} : { to });

/** The database was restored or a symbol deleted: the loaded candles belong to another epoch. */
export class EpochChanged extends Error {}

export class CandleStore {
  #requests = new CandleRequests();
  #limit = MORE_LIMIT;
  /** @type {string | null} */
  #etag = null;
  /** @type {Record<string, any> | null} */
  #olderQuery = null; // cursor of the next older page
  /** @type {Candle[]} */
  candles = [];
  hasNewer = false;
  /** @type {number | null} */
  forming = null; // time of the candle that is still forming

  /**
   * @param {CandlePage} page
   * @param {number | null} to  end of the range that was asked for, null for the newest candles
   */
  constructor(page, to) {
    this.symbol = page.symbol;
    this.tf = page.tf;
    this.clock = page.clock;
    this.epoch = page.epoch;
    this.change = page.change;
    this.#replace(page, to);
  }

  get last() {
    return this.candles[this.candles.length - 1];
  }

  /** The change that was read last, as the stream writes it. */
  get changeId() {
    return `${this.epoch}-${this.change}`;
  }

  get hasOlder() {
    return this.#olderQuery !== null;
  }

  get isLoading() {
    return this.#requests.isLoading;
  }

  get isOpening() {
    return this.#requests.isOpening;
  }

  /**
   * Replaces all candles with the newest ones, or the newest before `to`.
   * @param {{ tf: string, clock: string, to?: number | null }} view
   */
  async open({ tf, clock, to = null }) {
    const query = { symbol: this.symbol, tf, clock, limit: OPEN_LIMIT, ...rangeTo(to) };
    this.#replace(await this.#requests.open(query), to);
  }

  /** Replaces all candles with the first ones of the history. */
  async openFirst() {
    const page = await this.#requests.open({ ...this.#query(MORE_LIMIT), from: BEGINNING });
    this.#replace({ ...page, next_cursor: null }, null);
    this.hasNewer = page.next_cursor !== null;
  }

  /** Adds the next page before the first loaded candle. */
  async loadOlder() {
    if (this.#olderQuery === null || this.isOpening) return;
    const { to = null } = this.#olderQuery;
    const page = await this.#loadMore({ ...this.#query(this.#limit), ...this.#olderQuery });
    const start = this.candles[0][0];
    const candles = [...page.candles.filter((candle) => candle[0] < start), ...this.candles];
    this.#setOlder(page, to);
    this.#limit = Math.min(2 * this.#limit, MORE_LIMIT_MAX);
    this.candles = candles.slice(0, CANDLES_MAX);
    if (candles.length > CANDLES_MAX) {
      this.hasNewer = true;
      this.forming = null;
    }
  }

  /** Adds the next page and loads the last candle again, which may have changed. */
  async loadNewer() {
    if (!this.hasNewer || this.isOpening) return;
    const page = await this.#loadMore({ ...this.#query(this.#limit), from: this.last[0] });
    const earlier = page.candles.length ? this.candles.slice(0, -1) : this.candles;
    const candles = [...earlier, ...page.candles];
    this.hasNewer = page.next_cursor !== null;
    this.forming = page.forming;
    this.candles = candles.slice(-CANDLES_MAX);
    if (candles.length > CANDLES_MAX) this.#olderQuery = { to: this.candles[0][0] };
  }

  /**
   * Loads the candles between two indexes and a margin again, and drops all others. Returns
   * whether anything has changed since the last reload.
   * @param {number} left
   * @param {number} right
   */
  async reload(left, right) {
    if (!this.last && this.hasNewer) return false; // the view ends before the first candle
    const end = this.candles[Math.ceil(right) + RELOAD_MARGIN];
    const to = end ? end[0] : this.hasNewer && this.last ? this.last[0] + 1 : null;
    const stop = Math.min(Math.ceil(right) + RELOAD_MARGIN, this.candles.length);
    const limit = Math.max(stop - Math.floor(left) + RELOAD_MARGIN, OPEN_LIMIT);
    const query = { ...this.#query(Math.min(limit, RELOAD_LIMIT_MAX)), ...rangeTo(to) };
    const { page, etag } = await this.#requests.revalidate(query, this.#etag);
    if (page === null) return false;
    this.#requests.cancel(); // responses under way would extend candles that are dropped now
    this.#replace(page, to);
    this.#etag = etag;
    return true;
  }

  /**
   * Merges the current state of a candle. Returns what has to be drawn: nothing (null), this candle
   * ('updated'), or all candles ('inserted').
   * @param {Candle} candle
   */
  merge(candle) {
    const [time] = candle;
    if (!this.#covers(time)) return null;
    const index = this.#indexOf(time);
    const known = this.candles[index];
    if (known?.every((value, at) => value === candle[at])) return null;
    const isNewest = !this.hasNewer && index >= this.candles.length - 1;
    if (isNewest && (!known || known[0] === time)) this.forming = time;
    if (known?.[0] === time) {
      this.candles[index] = candle;
      return 'updated';
    }
    this.candles = this.candles.toSpliced(index, 0, candle);
    const isAppended = !known && index > 0;
    if (this.candles.length <= CANDLES_MAX + MORE_LIMIT) return isAppended ? 'updated' : 'inserted';
    this.candles = this.candles.slice(-CANDLES_MAX);
    this.#olderQuery = { to: this.candles[0][0] };
    return 'inserted';
  }

  #covers(/** @type {number} */ time) {
    if (!this.last) return !this.hasNewer;
    return (
      (!this.hasNewer || time <= this.last[0]) && (!this.hasOlder || time >= this.candles[0][0])
    );
  }

  // Index of the first candle with this time or a later one.
  #indexOf(/** @type {number} */ time) {
    let low = 0;
    let high = this.candles.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.candles[middle][0] < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #query(/** @type {number} */ limit) {
    return { symbol: this.symbol, tf: this.tf, clock: this.clock, limit };
  }

  async #loadMore(/** @type {Record<string, any>} */ params) {
    const page = await this.#requests.load(params);
    if (page.epoch !== this.epoch) throw new EpochChanged();
    return page;
  }

  // A cursor is valid only with the parameters of its query, so the query's `to` goes with it.
  #setOlder(/** @type {CandlePage} */ page, /** @type {number | null} */ to) {
    const cursor = page.next_cursor;
    this.#olderQuery = cursor === null ? null : { cursor, ...rangeTo(to) };
  }

  #replace(/** @type {CandlePage} */ page, /** @type {number | null} */ to) {
    const { symbol, tf, clock, candles, forming, epoch, change } = page;
    Object.assign(this, { symbol, tf, clock, candles, forming, epoch, change });
    this.hasNewer = to !== null;
    this.#setOlder(page, to);
    this.#limit = MORE_LIMIT;
    this.#etag = null;
  }
}
