// The table of the last candles, newest first.

import { byId, find } from '../lib/dom.js';
import { formatNumber, formatVolume } from '../lib/format.js';
import { formatDate, formatTime, offsetOrUtc } from '../lib/time-zones.js';

/** @import { Candle } from '../lib/api.js' */

/**
 * @typedef {object} TableContent
 * @property {{ tf: string, clock: string, candles: Candle[] }} store
 * @property {number} rows  the number of candles shown
 * @property {number} digits
 * @property {boolean} isDaily  whether a candle lasts a day or longer
 */

/**
 * @param {Candle} candle
 * @param {string} time
 * @param {number} digits
 */
function createRow(candle, time, digits) {
  const row = document.createElement('tr');
  const head = document.createElement('th');
  head.scope = 'row';
  head.textContent = time;
  row.append(head);
  const prices = candle.slice(1, 5).map((price) => formatNumber(price, digits));
  for (const text of [...prices, formatVolume(candle[5])]) {
    row.insertCell().textContent = text;
  }
  return row;
}

/**
 * Adds the button that opens the table. Returns a function that updates the table while it is open.
 * @param {() => TableContent} read
 */
export function createCandleTable(read) {
  const table = byId('candle-table');
  const button = byId('table-toggle');
  let shown = '';
  const update = () => {
    if (!table.classList.contains('open')) return;
    const { store, rows, digits, isDaily } = read();
    const candles = store.candles.slice(-rows);
    const wanted = `${store.tf} ${store.clock} ${candles}`;
    if (wanted === shown) return;
    shown = wanted;
    const offset = offsetOrUtc(store.clock);
    const timeText = (/** @type {number} */ time) => {
      const wall = time + offset(time);
      return isDaily ? formatDate(wall) : `${formatDate(wall)} ${formatTime(wall)}`;
    };
    const created = candles.map((candle) => createRow(candle, timeText(candle[0]), digits));
    find(table, 'tbody').replaceChildren(...created.reverse());
  };
  button.addEventListener('click', () => {
    button.setAttribute('aria-expanded', String(table.classList.toggle('open')));
    update();
  });
  return update;
}
