// The pickers of the chart page: timeframe, clock, and the zone in which times are shown.

import { byId, find } from '../lib/dom.js';
import { offsetOf } from '../lib/time-zones.js';

const OTHER = '…'; // value of the last option, which opens the dialog

/**
 * Asks for a zone or clock that the list does not offer. Resolves to null if the dialog is cancelled.
 * @param {string} title
 * @returns {Promise<string | null>}
 */
function askForZone(title) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('zone-dialog'));
  const form = /** @type {HTMLFormElement} */ (find(dialog, 'form'));
  const input = /** @type {HTMLInputElement} */ (find(dialog, 'input'));
  const list = find(dialog, 'datalist');
  find(dialog, 'h2').textContent = title;
  if (!list.children.length) {
    list.append(...Intl.supportedValuesOf('timeZone').map((zone) => new Option(zone, zone)));
  }
  form.reset();
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    const onClose = () => resolve((dialog.returnValue && input.value.trim()) || null);
    dialog.addEventListener('close', onClose, { once: true });
  });
}

/**
 * Selects a value and adds a missing option for it.
 * @param {HTMLSelectElement} list
 * @param {string} value
 */
function select(list, value) {
  if (![...list.options].some((option) => option.value === value)) {
    list.add(new Option(value, value), list.options[list.options.length - 1]);
  }
  list.value = value;
}

/**
 * Moves the keyboard focus to the chart after a choice with the pointer.
 * @param {HTMLSelectElement} list
 */
function blurAfterPointer(list) {
  if (!list.matches(':focus-visible')) list.blur();
}

/**
 * Handles clicks on the timeframe links. Returns a function that marks the current timeframe.
 * @param {HTMLElement} nav
 * @param {(tf: string) => void} choose
 * @returns {(tf: string, clock: string) => void}
 */
export function createTimeframePicker(nav, choose) {
  nav.addEventListener('click', (event) => {
    const link = /** @type {Element} */ (event.target).closest('a');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    choose(link.textContent);
  });
  return (tf, clock) => {
    for (const link of nav.querySelectorAll('a')) {
      link.search = String(new URLSearchParams({ tf: link.textContent, clock }));
      if (link.textContent === tf) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    const current = find(nav, '[aria-current]');
    nav.scrollLeft = current.offsetLeft - (nav.clientWidth - current.offsetWidth) / 2;
  };
}

/**
 * Handles the list of clocks. Returns a function that selects the current clock.
 * @param {HTMLElement} form
 * @param {(clock: string) => void} choose
 * @returns {(tf: string, clock: string) => void}
 */
export function createClockPicker(form, choose) {
  const list = /** @type {HTMLSelectElement} */ (find(form, '[name=clock]'));
  const tfInput = /** @type {HTMLInputElement} */ (find(form, '[name=tf]'));
  list.add(new Option('Other clock…', OTHER));
  let shown = list.value;
  list.addEventListener('change', async () => {
    const clock = list.value === OTHER ? await askForZone('Clock of the candles') : list.value;
    list.value = shown;
    blurAfterPointer(list);
    if (clock) choose(clock);
  });
  return (tf, clock) => {
    tfInput.value = tf;
    shown = clock;
    select(list, clock);
  };
}

function readZone() {
  try {
    return localStorage.getItem('zone') || 'local';
  } catch {
    return 'local'; // storage may be disabled
  }
}

/** @param {string} zone */
function saveZone(zone) {
  try {
    localStorage.setItem('zone', zone);
  } catch {
    // the choice lasts until the page is closed
  }
}

/**
 * Fills the list of zones and handles it. Returns the offset function of the chosen zone for a
 * chart on a clock.
 * @param {HTMLElement} element  a <select>
 * @param {() => void} onChange
 * @param {(message: string) => void} showMessage
 */
export function createZonePicker(element, onChange, showMessage) {
  const list = /** @type {HTMLSelectElement} */ (element);
  const local = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const named = { local: `your zone (${local})`, UTC: 'UTC', clock: 'the candles’ clock' };
  list.append(...Object.entries(named).map(([value, text]) => new Option(text, value)));
  list.add(new Option('other zone…', OTHER));
  let chosen = 'local';

  const choose = (/** @type {string} */ zone) => {
    try {
      if (!(zone in named)) offsetOf(zone);
      chosen = zone;
    } catch {
      showMessage(`This browser does not know the zone ${zone}.`);
    }
    select(list, chosen);
  };
  choose(readZone());

  list.addEventListener('change', async () => {
    const isOther = list.value === OTHER;
    const zone = isOther ? await askForZone('Zone in which times are shown') : list.value;
    choose(zone || chosen);
    blurAfterPointer(list);
    saveZone(chosen);
    onChange();
  });
  return (/** @type {string} */ clock) => {
    if (chosen === 'clock') return offsetOf(clock);
    return offsetOf(chosen === 'local' ? local : chosen);
  };
}
