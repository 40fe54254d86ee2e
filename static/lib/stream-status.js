// The label that shows whether the values on the page are live.

/** @typedef {'live' | 'polling' | 'lost' | 'refused' | 'paused'} StreamState */

import { find } from './dom.js';

/** @type {Record<StreamState, [text: string, title: string]>} */
const LABELS = {
  live: ['Live', 'Prices update as they arrive'],
  polling: ['Delayed', 'The live stream does not get through: the page polls every few seconds'],
  lost: [
    'Connection lost, reconnecting…',
    'Values may be out of date. After reconnecting, the page loads every change it missed.',
  ],
  refused: ['Not live', ''],
  paused: ['Paused', 'Updates continue when this page is visible'],
};

/**
 * Returns a function that shows a state, with an optional detail.
 * @param {HTMLElement} element
 * @returns {(state: StreamState, detail?: string) => void}
 */
export function createStreamStatus(element) {
  return (state, detail = '') => {
    const [text, title] = LABELS[state];
    element.dataset.state = state;
    element.title = title;
    find(element, 'span').textContent = detail ? `${text}: ${detail}` : text;
  };
}
