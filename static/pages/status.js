// The status page: loads the gap heatmaps that the page itself had no time to compute, one by one,
// as they are scrolled into view.

import { find } from '../lib/dom.js';
import './page.js';

/** @type {HTMLElement[]} */
const queue = [];
let isLoading = false;

async function loadQueue() {
  if (isLoading) return;
  isLoading = true;
  for (let slot = queue.shift(); slot; slot = queue.shift()) await load(slot);
  isLoading = false;
}

/** @param {HTMLElement} slot */
async function load(slot) {
  try {
    const response = await fetch(slot.dataset.heatmapPage ?? '');
    const page = new DOMParser().parseFromString(await response.text(), 'text/html');
    slot.replaceChildren(document.adoptNode(find(page, '.heatmap')));
  } catch {
    slot.textContent = 'not available'; // the symbol was deleted, or the server does not answer
  }
}

const observer = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    queue.push(/** @type {HTMLElement} */ (target));
  }
  loadQueue();
});

for (const slot of document.querySelectorAll('[data-heatmap-page]:not([data-heatmap-page=""])')) {
  slot.textContent = '…';
  observer.observe(slot);
}
