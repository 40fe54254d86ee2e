// Requests for the candles of one chart. A new view cancels the requests of the view before it.

import { fetchCandles } from '../lib/api.js';

/** @import { CandlePage } from '../lib/api.js' */

export class CandleRequests {
  #abort = new AbortController();
  #pending = 0;
  /** Whether a new view is being loaded. */
  isOpening = false;

  /** Whether a response is under way, which may be older than the events of the stream. */
  get isLoading() {
    return this.#pending > 0;
  }

  /** Cancels every request under way. */
  cancel() {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.isOpening = false;
  }

  /**
   * Cancels every request under way and sends the request of a new view.
   * @param {Record<string, any>} params
   * @returns {Promise<CandlePage>}
   */
  async open(params) {
    this.cancel();
    const abort = this.#abort;
    this.isOpening = true;
    try {
      return await this.load(params);
    } finally {
      if (this.#abort === abort) this.isOpening = false;
    }
  }

  /**
   * Returns a page of candles.
   * @param {Record<string, any>} params
   * @returns {Promise<CandlePage>}
   */
  async load(params) {
    const { page } = await this.revalidate(params, null);
    return /** @type {CandlePage} */ (page);
  }

  /**
   * Returns a page of candles, or null if the response with this ETag is still current.
   * @param {Record<string, any>} params
   * @param {string | null} etag
   */
  async revalidate(params, etag) {
    this.#pending += 1;
    try {
      return await fetchCandles(params, this.#abort.signal, etag);
    } finally {
      this.#pending -= 1;
    }
  }
}
