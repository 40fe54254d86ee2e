// The keyboard shortcuts of the chart.

import { SPACING_MIN } from './series.js';

/** @import { Timeframe } from '../lib/symbol-search.js' */
/** @import { CandleStore } from './candle-store.js' */
/** @import { View } from './view.js' */

/**
 * Returns the action of each key, by the browser's name of the key.
 * @param {object} options
 * @param {CandleStore} options.store
 * @param {View} options.view
 * @param {{ step: (by: number) => void, clear: () => void }} options.crosshair
 * @param {Timeframe[]} options.timeframes
 * @param {(tf: string) => void} options.openTimeframe
 * @param {() => void} options.openFirst
 * @param {() => void} options.openNewest
 * @returns {Record<string, () => void>}
 */
export function createKeys(options) {
  const { store, view, crosshair, timeframes, openTimeframe, openFirst, openNewest } = options;
  /** @param {number} part  of the width of the view */
  const scroll = (part) => {
    const room = store.hasOlder ? Infinity : Math.max(view.left() + 1, 0); // stop at the first candle
    view.scrollBy(Math.max(part * view.width(), -room));
  };
  /** @param {number} factor */
  const zoom = (factor) => view.setSpacing(Math.max(view.spacing() * factor, SPACING_MIN));
  /** @param {number} by */
  const stepTimeframe = (by) => {
    const next = timeframes[timeframes.findIndex(([name]) => name === store.tf) + by];
    if (next) openTimeframe(next[0]);
  };
  return {
    ArrowLeft: () => scroll(-0.1),
    ArrowRight: () => scroll(0.1),
    PageUp: () => scroll(-0.9),
    PageDown: () => scroll(0.9),
    'Shift+ArrowLeft': () => crosshair.step(-1),
    'Shift+ArrowRight': () => crosshair.step(1),
    Home: openFirst,
    End: openNewest,
    Escape: crosshair.clear,
    '+': () => zoom(1.25),
    '=': () => zoom(1.25),
    '-': () => zoom(0.8),
    ',': () => stepTimeframe(-1),
    '.': () => stepTimeframe(1),
  };
}
