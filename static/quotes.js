// The prices of the overview: rows in view follow the stream, all are read anew now and then.

import { askForPage } from './ask.js';
import { writeChange, writePrice } from './legend.js';
import { createLive } from './live.js';

const SUBS_MAX = 32;
const SETTLE_MS = 250; // so long no row comes into view or leaves it
const RENEW_MS = 120_000; // sparklines, new symbols, candles longer than a minute
const RENEW_SOON_MS = 1000;
const POLL_MS = 10_000;
const AGE_MS = 15_000;
const FLASH_MS = 900;

const calm = matchMedia('(prefers-reduced-motion: reduce)');

// The words of the server.
export function writeAge(seconds) {
  for (const [length, word] of [[86400, 'd'], [3600, 'h'], [60, 'min']]) {
    if (seconds >= 2 * length) return `${Math.floor(seconds / length)} ${word} ago`;
  }
  return 'now';
}

// The state that was come to first; another epoch's counts as before any of this one.
function earliest(ids) {
  const [newest] = ids.slice(-1);
  const [epoch] = newest.split('-');
  const change = (id) => (id.startsWith(`${epoch}-`) ? Number(id.split('-')[1]) : -1);
  return ids.reduce((first, id) => (change(id) < change(first) ? id : first), newest);
}

export function createQuotes(table, count, tell) {
  const read = (row, name) => (row.dataset[name] ? Number(row.dataset[name]) : null);
  let skew = Number(table.dataset.now) - Date.now() / 1000;
  let rows = new Map();
  let known = new Map(); // the state in which each symbol's row is
  let followed = [];
  let heard = new Map(); // since the page was last asked for
  let settling = null;
  let renewing = null;
  const seen = new Set();

  function showAge(row) {
    const time = row.querySelector('time');
    if (!time) return;
    const words = writeAge(Date.now() / 1000 + skew - read(row, 'time'));
    if (words !== time.textContent) time.textContent = words;
  }

  function flash(cell, isUp) {
    if (calm.matches) return;
    const color = `var(--${isUp ? 'up' : 'down'}-volume)`;
    cell.animate({ backgroundColor: [color, 'transparent'] }, { duration: FLASH_MS });
  }

  function showPrice(row, candle) {
    const [time, , , , close] = candle;
    const last = row.querySelector('.last span');
    const text = writePrice(close, read(row, 'digits'));
    if (text !== last.textContent) flash(last, close >= Number(last.textContent));
    last.textContent = text;
    const stamp = new Date(time * 1000).toISOString().replace('.000Z', 'Z');
    Object.assign(row.querySelector('time'), { dateTime: stamp, title: stamp });
    row.dataset.time = time;
    showAge(row);
    if (time >= read(row, 'until')) return; // of a new day: its change counts from another price
    const words = writeChange(candle, [0, 0, 0, 0, read(row, 'before')]);
    row.querySelector('.change').textContent = words || '–';
    row.className = words.startsWith('−') ? 'down' : 'up';
  }

  function hear({ symbol, candle }) {
    heard.set(symbol, candle);
    const row = rows.get(symbol);
    if (!row || candle[0] < (read(row, 'time') ?? Infinity)) {
      if (row && !row.dataset.time) renewSoon(); // its first candle
      return;
    }
    showPrice(row, candle);
    if (candle[0] >= read(row, 'until')) renewSoon();
  }

  async function renew() {
    heard = new Map();
    const page = await askForPage('/', '.quotes, .steps');
    const fresh = page.querySelector('.quotes');
    if (!fresh) {
      location.reload(); // the last symbol has gone
      return null;
    }
    const focused = document.activeElement.closest('.quotes a')?.getAttribute('href');
    table.tBodies[0].replaceWith(fresh.tBodies[0]);
    count.textContent = table.tBodies[0].rows.length;
    adopt(fresh.dataset.since);
    if (focused) table.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    for (const [symbol, candle] of heard) hear({ symbol, candle });
    return fresh.dataset.since;
  }

  // What fails here is tried again in its turn; the stream tells whether the server is there.
  function renewSoon(wait_ms = RENEW_SOON_MS) {
    renewing ??= setTimeout(async () => {
      if (document.visibilityState === 'visible') await renew().catch(() => {});
      renewing = null;
    }, wait_ms);
  }

  function adopt(since) {
    rows = new Map([...table.tBodies[0].rows].map((row) => [row.dataset.symbol, row]));
    known = new Map([...rows.keys()].map((symbol) => [symbol, since]));
    watcher.disconnect();
    seen.clear();
    rows.forEach((row) => watcher.observe(row));
  }

  function settle() {
    const wanted = [...rows].filter(([, row]) => seen.has(row)).map(([symbol]) => symbol);
    const next = wanted.slice(0, SUBS_MAX);
    if (!next.length || `${next}` === `${followed}`) return;
    for (const symbol of followed) if (known.has(symbol)) known.set(symbol, live.id());
    followed = next;
    const since = earliest(next.map((symbol) => known.get(symbol)));
    live.follow(next.map((symbol) => `${symbol},M1`), since);
  }

  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) seen.add(target);
        else seen.delete(target);
      }
      clearTimeout(settling);
      settling = setTimeout(settle, SETTLE_MS);
    },
    { rootMargin: '100px' },
  );

  const tune = (now) => {
    skew = now - Date.now() / 1000;
  };
  const live = createLive({ hear, renew, tell, tune, poll_ms: POLL_MS });
  adopt(table.dataset.since);
  setInterval(() => rows.forEach(showAge), AGE_MS);
  setInterval(renewSoon, RENEW_MS, 0);
  document.addEventListener('visibilitychange', () => renewSoon());
}
