// The URL of the chart page names what is shown: symbol, timeframe, clock, scroll position, zoom.

import { formatInstant } from '../lib/time-zones.js';

const DELAY_MS = 250; // browsers limit how often a page may change its URL
const SPACING_MIN = 0.5;
const SPACING_MAX = 200;

/** Returns the pixels per candle from the URL, or null. */
export function spacingFromUrl() {
  const spacing = Number(new URLSearchParams(location.search).get('spacing'));
  return spacing >= SPACING_MIN && spacing <= SPACING_MAX ? spacing : null;
}

/**
 * Returns a query string. Colons and slashes stay readable: they are legal there.
 * @param {Record<string, any>} params
 */
export function formatQuery(params) {
  return `${new URLSearchParams(params)}`.replaceAll('%3A', ':').replaceAll('%2F', '/');
}

/**
 * Returns the path of a symbol's chart.
 * @param {string} symbol
 * @param {Record<string, any>} params
 */
export function chartPath(symbol, params) {
  return `/chart/${encodeURIComponent(symbol)}?${formatQuery(params)}`;
}

/**
 * Returns a function that updates the URL. `to` is null if the newest candle is in view, `spacing`
 * is null at the default zoom.
 */
export function createUrlState() {
  let timer = 0;
  /** @type {string | null} */
  let pending = null;
  return (
    /** @type {{ symbol: string, tf: string, clock: string, to: number | null, spacing: number | null }} */
    { symbol, tf, clock, to, spacing },
  ) => {
    /** @type {Record<string, any>} */
    const params = { tf, clock };
    if (to !== null) params.to = formatInstant(to);
    if (spacing !== null) params.spacing = spacing;
    const path = chartPath(symbol, params);
    if (path === pending) return; // restarting the timer on every tick would delay it for ever
    pending = path;
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (path !== location.pathname + location.search) history.replaceState(null, '', path);
    }, DELAY_MS);
  };
}
