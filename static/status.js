// The status page: pictures of gaps that took too long for the page come one by one, as they are
// scrolled to.

import './plain.js';

const wanted = [];
let busy = false;

async function work() {
  if (busy) return;
  busy = true;
  while (wanted.length) await fill(wanted.shift());
  busy = false;
}

async function fill(place) {
  try {
    const answer = await fetch(place.dataset.gaps);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    place.replaceChildren(document.adoptNode(page.querySelector('.gaps')));
  } catch {
    place.textContent = 'not known'; // the symbol has gone, or the server
  }
}

const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    wanted.push(target);
  }
  work();
});

for (const place of document.querySelectorAll('[data-gaps]:not([data-gaps=""])')) {
  place.textContent = '…';
  watcher.observe(place);
}
