// Requests to the server. The message of every error can be shown to a person.

/**
 * Time (UNIX seconds), open, high, low, close, volume.
 * @typedef {[number, number, number, number, number, number]} Candle
 */

/**
 * The body of GET /api/v1/candles.
 * @typedef {object} CandlePage
 * @property {string} symbol
 * @property {string} tf
 * @property {string} clock
 * @property {Candle[]} candles
 * @property {string | null} next_cursor
 * @property {number | null} forming  time of the candle that is still forming
 * @property {string} epoch
 * @property {number} change
 */

/**
 * The data of an `event: candle` of GET /api/v1/stream.
 * @typedef {{ symbol: string, tf: string, clock: string, candle: Candle }} CandleEvent
 */

/** @typedef {{ symbol: string, description: string }} SymbolInfo */

const TIMEOUT_MS = 20_000; // a dead connection may never report an error
const NOT_GFIL = 'The response is not from GFIL: a proxy or a network login page answered.';

export class ApiError extends Error {
  /**
   * @param {number} status  the HTTP status
   * @param {string} [detail]
   */
  constructor(status, detail) {
    super(detail || `The server answered ${status}.`);
    this.status = status;
  }
}

/**
 * Fetches a page of candles. With the ETag of an earlier response, `page` is null if that
 * response is still current.
 * @param {Record<string, any>} params
 * @param {AbortSignal} signal
 * @param {string | null} [etag]
 * @returns {Promise<{ page: CandlePage | null, etag: string | null }>}
 */
export async function fetchCandles(params, signal, etag = null) {
  /** @type {Record<string, string>} */
  const headers = { Accept: 'application/json' };
  if (etag) headers['If-None-Match'] = etag;
  const response = await fetch(`/api/v1/candles?${new URLSearchParams(params)}`, {
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    headers,
    cache: 'no-store',
  });
  if (response.status === 304) return { page: null, etag };
  const body = await response.json().catch((error) => {
    if (error instanceof SyntaxError) return null;
    throw error;
  });
  if (!response.ok) throw new ApiError(response.status, body?.detail);
  if (!body?.candles) throw new ApiError(response.status, NOT_GFIL);
  return { page: body, etag: response.headers.get('ETag') };
}

/**
 * Fetches every symbol.
 * @returns {Promise<SymbolInfo[]>}
 */
export async function fetchSymbols() {
  const response = await fetch('/api/v1/symbols', { headers: { Accept: 'application/json' } });
  if (!response.ok) throw new ApiError(response.status);
  return (await response.json()).symbols;
}

/**
 * Fetches an HTML page of this server and checks that it contains `selector`.
 * @param {string} path
 * @param {string} selector
 */
export async function fetchDocument(path, selector) {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(path, { signal, headers: { Accept: 'text/html' } });
  if (response.redirected) throw new ApiError(401, 'Log in again to continue.');
  if (!response.ok) throw new ApiError(response.status);
  const page = new DOMParser().parseFromString(await response.text(), 'text/html');
  if (!page.querySelector(selector)) throw new ApiError(response.status, NOT_GFIL);
  return page;
}
