// The pickers of the chart page: timeframe, clock, and the zone in which times are shown.

import { offsetOf } from './zones.js';

const OTHER = '…';

// Asks for a zone or clock that no list offers; resolves to null when it was called off.
function ask(title) {
  const dialog = document.getElementById('ask');
  const form = dialog.querySelector('form');
  const input = dialog.querySelector('input');
  const list = dialog.querySelector('datalist');
  dialog.querySelector('h2').textContent = title;
  if (!list.children.length) {
    list.append(...Intl.supportedValuesOf('timeZone').map((zone) => new Option(zone, zone)));
  }
  form.reset();
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    const answer = () => resolve((dialog.returnValue && input.value.trim()) || null);
    dialog.addEventListener('close', answer, { once: true });
  });
}

// Shows `value` as chosen, adding it to the list where it is not there yet.
function select(list, value, text = value) {
  if (![...list.options].some((option) => option.value === value)) {
    list.add(new Option(text, value), list.options[list.options.length - 1]);
  }
  list.value = value;
}

// Chosen with the pointer: the keys are the chart's again.
function leave(list) {
  if (!list.matches(':focus-visible')) list.blur();
}

export function createTimeframes(nav, choose) {
  nav.addEventListener('click', (event) => {
    const link = event.target.closest('a');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    choose(link.textContent);
  });
  const show = (tf, clock) => {
    for (const link of nav.querySelectorAll('a')) {
      link.search = new URLSearchParams({ tf: link.textContent, clock });
      if (link.textContent === tf) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    const current = nav.querySelector('[aria-current]');
    nav.scrollLeft = current.offsetLeft - (nav.clientWidth - current.offsetWidth) / 2;
  };
  return show;
}

export function createClock(form, choose) {
  const list = form.elements.clock;
  list.add(new Option('Other clock…', OTHER));
  let shown = list.value;
  list.addEventListener('change', async () => {
    const clock = list.value === OTHER ? await ask('Clock of the candles') : list.value;
    list.value = shown;
    leave(list);
    if (clock) choose(clock);
  });
  return (tf, clock) => {
    form.elements.tf.value = tf;
    shown = clock;
    select(list, clock);
  };
}

function kept() {
  try {
    return localStorage.getItem('zone') || 'local';
  } catch {
    return 'local'; // storage may be switched off
  }
}

// `complain` is told of a zone that the browser does not know. Returns `offset(clock)`: the chosen
// zone as a function from an instant to its offset.
export function createZone(list, choose, complain) {
  const local = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const words = { local: `your zone (${local})`, UTC: 'UTC', clock: 'the candles’ clock' };
  list.append(...Object.entries(words).map(([value, text]) => new Option(text, value)));
  list.add(new Option('other zone…', OTHER));
  let shown = 'local';

  const use = (zone) => {
    try {
      if (!(zone in words)) offsetOf(zone);
      shown = zone;
    } catch {
      complain(`This browser knows no zone ${zone}.`);
    }
    select(list, shown);
  };
  use(kept());

  list.addEventListener('change', async () => {
    const zone = list.value === OTHER ? await ask('Zone in which times are shown') : list.value;
    use(zone || shown);
    leave(list);
    try {
      localStorage.setItem('zone', shown);
    } catch {
      // the choice then lasts as long as the page
    }
    choose();
  });
  return (clock) => offsetOf({ local, clock }[shown] || shown);
}
