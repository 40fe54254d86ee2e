// What every page has: finding symbols, the help, the keys.

import { createSearch } from './search.js';

const TYPING = 'input, select, textarea, [contenteditable]';

// `keys` maps a key as the browser names it ("Home", "Shift+ArrowLeft") to what it does.
export function createShell({ timeframes = [], choose, keys = {} }) {
  const help = document.getElementById('help');
  const search = createSearch(document.getElementById('search'), timeframes, choose);
  const open = { search: () => search(), help: () => help.showModal() };

  document.addEventListener('click', (event) => {
    const dialog = event.target.closest('dialog');
    if (dialog && event.target === dialog) dialog.close(); // the backdrop
    const wanted = event.target.closest('[data-do]')?.dataset.do;
    if (wanted in open) open[wanted]();
  });

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.matches(TYPING) || document.querySelector('dialog[open]')) return;
    const act = action(event);
    if (!act) return;
    event.preventDefault();
    act();
  });

  function action({ key, shiftKey }) {
    const named = keys[shiftKey && key.length > 1 ? `Shift+${key}` : key];
    if (named) return named;
    if (key === '?') return open.help;
    if (key === '/') return open.search;
    const begins = timeframes.length ? /^[\p{L}\p{N}]$/u : /^\p{L}$/u;
    return begins.test(key) ? () => search(key) : null;
  }
}
