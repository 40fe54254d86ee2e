// What every page without a chart has.

import { createShell } from './shell.js';

createShell({ choose: ({ symbol }) => location.assign(`/chart/${encodeURIComponent(symbol)}`) });

function addCopy(block) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'copy';
  button.textContent = 'Copy';
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(block.textContent);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(block); // no clipboard without https: mark it for Ctrl+C
      button.textContent = 'Marked';
    }
  });
  block.after(button);
}

document.querySelectorAll('.steps pre').forEach(addCopy);
