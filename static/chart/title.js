// The texts of the page that name the symbol, the timeframe and the clock.

import { byId, find } from '../lib/dom.js';
import { formatQuery } from './url-state.js';

/** @typedef {{ symbol: string, tf: string, clock: string }} ChartName */

/**
 * Shows the last price in the page's title; `price` is null if it is not known or not current.
 * @param {ChartName} chart
 * @param {string | null} price
 */
export function showTitle({ symbol, tf }, price) {
  const title = `${price === null ? '' : `${price} `}${symbol} ${tf} – GFIL`;
  if (title !== document.title) document.title = title;
}

/**
 * Shows the symbol, timeframe and clock in labels, the table's caption and the download link.
 * @param {ChartName} chart
 */
export function showChartName({ symbol, tf, clock }) {
  const chart = byId('chart');
  const keyHelp = (chart.getAttribute('aria-label') ?? '').replace(/^\S+ \S+\./, '');
  chart.setAttribute('aria-label', `${symbol} ${tf}.${keyHelp}`);
  find(byId('candle-table'), 'caption').textContent =
    `${symbol} ${tf}, last candles, newest first; times on the clock ${clock}`;
  const download = /** @type {HTMLAnchorElement} */ (byId('download'));
  download.href = `/api/v1/export?${formatQuery({ symbol, tf, clock, format: 'csv' })}`;
  download.title = `Download all ${tf} candles as CSV`;
  find(byId('no-candles'), 'span').textContent = tf;
}
