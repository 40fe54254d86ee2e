// Every place on the page that names the timeframe and the clock, and the table of candles.

import { query } from './address.js';
import { fillTable } from './legend.js';
import { offsetOf, writeDate, writeTime } from './zones.js';

const byId = (id) => document.getElementById(id);

// The title is read while another tab is looked at: it bears a price only where that is the newest.
export function entitle({ symbol, tf }, price) {
  const title = `${price === null ? '' : `${price} `}${symbol} ${tf} – GFIL`;
  if (title !== document.title) document.title = title;
}

export function caption({ symbol, tf, clock }) {
  const chart = byId('chart');
  const keys = chart.getAttribute('aria-label').replace(/^\S+ \S+\./, '');
  chart.setAttribute('aria-label', `${symbol} ${tf}.${keys}`);
  const words = `${symbol} ${tf}, the last candles, newest first; times on the clock ${clock}`;
  byId('table').querySelector('caption').textContent = words;
  const download = byId('download');
  download.href = `/api/v1/export?${query({ symbol, tf, clock, format: 'csv' })}`;
  download.title = `Download all ${tf} candles as CSV`;
  byId('blank').querySelector('span').textContent = tf;
}

// The clock's own offset; a zone that only the server knows is shown as UTC.
export function clockOffset(clock) {
  try {
    return offsetOf(clock);
  } catch {
    return offsetOf('UTC');
  }
}

// `tell` gives what is held, the count of rows, the digits, and whether candles are days or longer.
export function createTable(tell) {
  const table = byId('table');
  const button = byId('tabulate');
  let shown = '';
  const show = () => {
    if (!table.classList.contains('shown')) return;
    const { held, rows, digits, daily } = tell();
    const wanted = `${held.tf} ${held.clock} ${held.candles.slice(-rows)}`;
    if (wanted === shown) return;
    shown = wanted;
    const offset = clockOffset(held.clock);
    const write = (time) => {
      const wall = time + offset(time);
      return daily ? writeDate(wall) : `${writeDate(wall)} ${writeTime(wall)}`;
    };
    fillTable(table.querySelector('tbody'), held.candles, rows, write, digits);
  };
  button.addEventListener('click', () => {
    button.setAttribute('aria-expanded', table.classList.toggle('shown'));
    show();
  });
  return show;
}
