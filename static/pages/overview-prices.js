// The prices of the overview: the stream updates the rows in view; a reload updates all rows.

import { fetchDocument } from '../lib/api.js';
import { find } from '../lib/dom.js';
import { createEventStream } from '../lib/event-stream.js';
import { formatAge, formatChange, formatNumber } from '../lib/format.js';
import { isPageVisible, onPageVisibility } from '../lib/page-visibility.js';
import { formatInstant } from '../lib/time-zones.js';

/** @import { Candle, CandleEvent } from '../lib/api.js' */
/** @import { StreamState } from '../lib/stream-status.js' */

const SUBSCRIPTIONS_MAX = 32;
const SCROLL_END_MS = 250; // without a row that enters or leaves the view
const RELOAD_MS = 120_000; // for sparklines, new symbols, and symbols without M1
const RELOAD_SOON_MS = 1000;
const POLL_MS = 10_000;
const AGE_MS = 15_000;
const FLASH_MS = 900;

const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');

/**
 * Returns the earliest of these change ids. Ids of another epoch are earlier than the last one.
 * @param {string[]} changeIds
 */
function earliest(changeIds) {
  const last = changeIds[changeIds.length - 1];
  const [epoch] = last.split('-');
  const change = (/** @type {string} */ id) =>
    id.startsWith(`${epoch}-`) ? Number(id.split('-')[1]) : -1;
  return changeIds.reduce((first, id) => (change(id) < change(first) ? id : first), last);
}

/**
 * Returns a number from a row's data attributes, null if it is blank.
 * @param {HTMLElement} row
 * @param {string} name
 */
function readNumber(row, name) {
  return row.dataset[name] ? Number(row.dataset[name]) : null;
}

/**
 * @param {HTMLElement} cell
 * @param {boolean} isUp
 */
function flash(cell, isUp) {
  if (reducedMotion.matches) return;
  const color = `var(--${isUp ? 'up' : 'down'}-volume)`;
  cell.animate({ backgroundColor: [color, 'transparent'] }, { duration: FLASH_MS });
}

/**
 * Shows a candle in the row of its symbol.
 * @param {HTMLTableRowElement} row
 * @param {Candle} candle
 */
function showPrice(row, [time, , , , close]) {
  const last = find(row, '.last span');
  const text = formatNumber(close, readNumber(row, 'digits') ?? 0);
  if (text !== last.textContent) {
    flash(last, close >= Number(last.textContent.replaceAll(',', '')));
  }
  last.textContent = text;
  const instant = formatInstant(time);
  Object.assign(find(row, 'time'), { dateTime: instant, title: instant });
  row.dataset.time = String(time);
  if (time >= (readNumber(row, 'dayEnd') ?? 0)) return; // a new day has another previous close
  const change = formatChange(close, readNumber(row, 'previousClose') ?? 0);
  find(row, '.change').textContent = change || '–';
  row.className = change.startsWith('−') ? 'down' : 'up';
}

/**
 * Keeps the table up to date.
 * @param {HTMLTableElement} table
 * @param {HTMLElement} count
 * @param {(state: StreamState, detail?: string) => void} onState
 */
export function createOverviewPrices(table, count, onState) {
  let skew = Number(table.dataset.now) - Date.now() / 1000; // to the server's clock, in seconds
  /** @type {Map<string, HTMLTableRowElement>} */
  let rows = new Map();
  /** @type {Map<string, string>} */
  let changeIds = new Map(); // the change that each symbol's row shows
  /** @type {string[]} */
  let subscribed = [];
  /** @type {Map<string, Candle>} */
  let received = new Map(); // since the last reload began
  let subscribeTimer = 0;
  let reloadTimer = 0; // 0: no reload is scheduled
  /** @type {Set<Element>} */
  const visible = new Set();

  function showAge(/** @type {HTMLTableRowElement} */ row) {
    const time = row.querySelector('time');
    if (!time) return;
    const age = formatAge(Date.now() / 1000 + skew - (readNumber(row, 'time') ?? 0));
    if (age !== time.textContent) time.textContent = age;
  }

  function onCandle(/** @type {Pick<CandleEvent, 'symbol' | 'candle'>} */ { symbol, candle }) {
    received.set(symbol, candle);
    const row = rows.get(symbol);
    if (!row) return;
    const time = readNumber(row, 'time');
    if (time === null) reloadSoon(); // the first candle of the symbol
    if (time === null || candle[0] < time) return;
    showPrice(row, candle);
    showAge(row);
    if (candle[0] >= (readNumber(row, 'dayEnd') ?? 0)) reloadSoon();
  }

  async function reload() {
    received = new Map();
    const page = await fetchDocument('/', '.overview, .steps');
    /** @type {HTMLTableElement | null} */
    const loaded = page.querySelector('.overview');
    if (!loaded) {
      location.reload(); // the last symbol was deleted
      return null;
    }
    const focused = document.activeElement?.closest('.overview a')?.getAttribute('href');
    table.tBodies[0].replaceWith(loaded.tBodies[0]);
    count.textContent = formatNumber(table.tBodies[0].rows.length);
    const changeId = loaded.dataset.changeId ?? '';
    useRows(changeId);
    if (focused) focusLink(focused);
    for (const [symbol, candle] of received) onCandle({ symbol, candle });
    return changeId;
  }

  function focusLink(/** @type {string} */ path) {
    /** @type {HTMLElement | null} */
    const link = table.querySelector(`a[href="${CSS.escape(path)}"]`);
    link?.focus();
  }

  // A failed reload is repeated by the next one; the stream reports whether the server answers.
  function reloadSoon(wait_ms = RELOAD_SOON_MS) {
    reloadTimer ||= setTimeout(async () => {
      if (isPageVisible()) await reload().catch(() => {});
      reloadTimer = 0;
    }, wait_ms);
  }

  function useRows(/** @type {string} */ changeId) {
    const symbolOf = (/** @type {HTMLTableRowElement} */ row) => row.dataset.symbol ?? '';
    rows = new Map([...table.tBodies[0].rows].map((row) => [symbolOf(row), row]));
    changeIds = new Map([...rows.keys()].map((symbol) => [symbol, changeId]));
    observer.disconnect();
    visible.clear();
    rows.forEach((row) => observer.observe(row));
  }

  function subscribe() {
    const inView = [...rows].filter(([, row]) => visible.has(row)).map(([symbol]) => symbol);
    const next = inView.slice(0, SUBSCRIPTIONS_MAX);
    if (!next.length || `${next}` === `${subscribed}`) return;
    for (const symbol of subscribed) {
      if (changeIds.has(symbol)) changeIds.set(symbol, stream.changeId() ?? '');
    }
    subscribed = next;
    const since = earliest(next.map((symbol) => changeIds.get(symbol) ?? ''));
    const subscriptions = next.map((symbol) => `${symbol},M1`);
    stream.subscribe(subscriptions, since);
  }

  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) visible.add(target);
        else visible.delete(target);
      }
      clearTimeout(subscribeTimer);
      subscribeTimer = setTimeout(subscribe, SCROLL_END_MS);
    },
    { rootMargin: '100px' },
  );

  const onServerTime = (/** @type {number} */ time) => {
    skew = time - Date.now() / 1000;
  };
  const stream = createEventStream({ onCandle, reload, onState, onServerTime, poll_ms: POLL_MS });
  useRows(table.dataset.changeId ?? '');
  setInterval(() => rows.forEach(showAge), AGE_MS);
  setInterval(reloadSoon, RELOAD_MS, 0);
  onPageVisibility(() => reloadSoon());
}
