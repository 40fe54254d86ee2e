// The dialog that finds a symbol or a timeframe by typing.

import { fetchSymbols } from './api.js';
import { find } from './dom.js';

/** @import { SymbolInfo } from './api.js' */

/** @typedef {[name: string, seconds: number]} Timeframe */
/** @typedef {{ symbol?: string, tf?: string }} Choice  one of both */
/** @typedef {{ name: string, hint: string, choice: Choice }} Match */

const MATCHES_MAX = 50;

/**
 * Returns the names of the timeframes that a text may mean: "15" M15, "4h" and "h4" H4, "d" D1.
 * @param {Timeframe[]} timeframes
 * @param {string} text
 */
export function matchTimeframes(timeframes, text) {
  const typed = text.toUpperCase();
  if (/^\d+$/.test(typed)) {
    const exact = timeframes.filter(([, seconds]) => seconds === 60 * Number(typed));
    const prefixed = timeframes.filter(([name]) => name.replace(/^\D+/, '').startsWith(typed));
    return [...new Set([...exact, ...prefixed])].map(([name]) => name);
  }
  const prefix = typed.replace(/^(\d+)([MHDW])$/, '$2$1');
  return timeframes.map(([name]) => name).filter((name) => name.startsWith(prefix));
}

/**
 * Returns the symbols that match a text: names that start with it, names that contain it,
 * descriptions that contain it.
 * @param {SymbolInfo[]} symbols
 * @param {string} text
 */
export function matchSymbols(symbols, text) {
  const typed = text.toLowerCase();
  const rankOf = (/** @type {SymbolInfo} */ { symbol, description }) => {
    const index = symbol.toLowerCase().indexOf(typed);
    if (index >= 0) return index === 0 ? 0 : 1;
    return description && description.toLowerCase().includes(typed) ? 2 : 3;
  };
  return [0, 1, 2].flatMap((rank) => symbols.filter((symbol) => rankOf(symbol) === rank));
}

/**
 * Returns the symbols and timeframes that match a text, best first.
 * @param {SymbolInfo[]} symbols
 * @param {Timeframe[]} timeframes
 * @param {string} text
 * @returns {Match[]}
 */
function matchAll(symbols, timeframes, text) {
  const names = text ? matchTimeframes(timeframes, text) : [];
  const bySymbol = matchSymbols(symbols, text).map(({ symbol, description }) => ({
    name: symbol,
    hint: description || '',
    choice: { symbol },
  }));
  const byTimeframe = names.map((tf) => ({ name: tf, hint: 'timeframe', choice: { tf } }));
  // A number or the full name of a timeframe most likely means the timeframe.
  const isTimeframe = /^\d/.test(text) || names[0] === text.toUpperCase();
  const matches = isTimeframe ? [...byTimeframe, ...bySymbol] : [...bySymbol, ...byTimeframe];
  return matches.slice(0, MATCHES_MAX);
}

/**
 * Creates the search. Returns a function that opens its dialog with a text.
 * @param {HTMLElement} element  a <dialog>
 * @param {Timeframe[]} timeframes
 * @param {(choice: Choice) => void} choose
 */
export function createSymbolSearch(element, timeframes, choose) {
  const dialog = /** @type {HTMLDialogElement} */ (element);
  const input = /** @type {HTMLInputElement} */ (find(dialog, 'input'));
  const list = find(dialog, 'ul');
  const note = find(dialog, '.note');
  /** @type {SymbolInfo[]} */
  let symbols = [];
  /** @type {Match[]} */
  let matches = [];
  let selected = 0;

  const createOption = (/** @type {Match} */ { name, hint }, /** @type {number} */ index) => {
    const item = document.createElement('li');
    item.id = `search-${index}`;
    item.role = 'option';
    const small = document.createElement('small');
    small.textContent = hint;
    item.append(name, ' ', small);
    item.addEventListener('click', () => confirm(index));
    return item;
  };

  const select = (/** @type {number} */ index) => {
    selected = index;
    [...list.children].forEach((item, at) => {
      item.setAttribute('aria-selected', String(at === index));
    });
    const item = list.children[index];
    if (item) {
      input.setAttribute('aria-activedescendant', item.id);
      item.scrollIntoView({ block: 'nearest' });
    } else input.removeAttribute('aria-activedescendant');
  };

  const showMatches = () => {
    matches = matchAll(symbols, timeframes, input.value.trim());
    list.replaceChildren(...matches.map(createOption));
    note.textContent = matches.length ? '' : 'No symbol or timeframe matches.';
    select(0);
  };

  const confirm = (/** @type {number} */ index) => {
    if (!matches[index]) return;
    dialog.close();
    choose(matches[index].choice);
  };

  input.addEventListener('input', showMatches);
  dialog.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && matches.length) {
      event.preventDefault();
      select((selected + step + matches.length) % matches.length);
    }
  });
  find(dialog, 'form').addEventListener('submit', (event) => {
    event.preventDefault();
    confirm(selected);
  });

  return async (text = '') => {
    if (!dialog.open) dialog.showModal();
    input.value = text;
    input.focus();
    showMatches();
    try {
      const before = JSON.stringify(symbols);
      symbols = await fetchSymbols();
      if (JSON.stringify(symbols) !== before) showMatches();
    } catch (error) {
      note.textContent = `The symbols could not be loaded. ${/** @type {Error} */ (error).message}`;
    }
  };
}
