// Keyboard shortcuts and the dialogs that every page has: symbol search and keyboard help.

import { byId } from './dom.js';
import { createSymbolSearch } from './symbol-search.js';

/** @import { Choice, Timeframe } from './symbol-search.js' */

const TEXT_FIELDS = 'input, select, textarea, [contenteditable]';

/**
 * Adds the shortcuts of a page. `keys` maps the browser's key names ("Home", "Shift+ArrowLeft")
 * to actions.
 * @param {object} options
 * @param {Timeframe[]} [options.timeframes]
 * @param {(choice: Choice) => void} options.choose
 * @param {Record<string, () => void>} [options.keys]
 */
export function createShortcuts({ timeframes = [], choose, keys = {} }) {
  const help = /** @type {HTMLDialogElement} */ (byId('help'));
  const openSearch = createSymbolSearch(byId('search'), timeframes, choose);
  /** @type {Record<string, () => void>} */
  const actions = { search: () => openSearch(), help: () => help.showModal() };

  document.addEventListener('click', (event) => {
    const target = /** @type {Element} */ (event.target);
    if (target instanceof HTMLDialogElement) target.close(); // a click on the backdrop
    const button = /** @type {HTMLElement | null} */ (target.closest('[data-action]'));
    actions[button?.dataset.action ?? '']?.();
  });

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = /** @type {Element} */ (event.target);
    // The browser moves the focus out of a closed dialog a moment later.
    const isTyping = target.matches(TEXT_FIELDS) && !target.closest('dialog:not([open])');
    if (isTyping || document.querySelector('dialog[open]')) return;
    const action = actionOf(event);
    if (!action) return;
    event.preventDefault();
    action();
  });

  /** @param {KeyboardEvent} event */
  function actionOf({ key, shiftKey }) {
    const own = keys[shiftKey && key.length > 1 ? `Shift+${key}` : key];
    if (own) return own;
    if (key === '?') return actions.help;
    if (key === '/') return actions.search;
    const startsSearch = timeframes.length ? /^[\p{L}\p{N}]$/u : /^\p{L}$/u;
    return startsSearch.test(key) ? () => openSearch(key) : null;
  }
}
