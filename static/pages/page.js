// A page without a chart: keyboard shortcuts, and buttons that copy the commands shown.

import { createShortcuts } from '../lib/shortcuts.js';

createShortcuts({
  choose({ symbol }) {
    if (symbol) location.assign(`/chart/${encodeURIComponent(symbol)}`);
  },
});

/** @param {HTMLElement} block */
function addCopyButton(block) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'copy';
  button.textContent = 'Copy';
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(block.textContent);
      button.textContent = 'Copied';
    } catch {
      getSelection()?.selectAllChildren(block); // browsers offer the clipboard only over https
      button.textContent = 'Selected: press Ctrl+C';
    }
  });
  block.after(button);
}

/** @type {NodeListOf<HTMLElement>} */
const blocks = document.querySelectorAll('.steps pre');
blocks.forEach(addCopyButton);
