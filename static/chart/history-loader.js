// Backfill of the chart: loads more candles when the view nears the first or last loaded one.

import { EpochChanged } from './candle-store.js';

/** @import { CandleStore } from './candle-store.js' */
/** @import { View } from './view.js' */

const MARGIN_CANDLES = 100; // distance from the edge at which more candles are loaded
const RETRY_MS = 3000;

/**
 * Returns a function to call after every change of the view.
 * @param {object} options
 * @param {View} options.view
 * @param {CandleStore} options.store
 * @param {(error: any) => void} options.onError
 */
export function createHistoryLoader({ view, store, onError }) {
  let isLoading = false;
  let retryAt_ms = 0;

  const load = async (/** @type {() => Promise<void>} */ request) => {
    const follows = !store.hasNewer;
    await request();
    view.draw(store.candles, follows);
  };
  /** Returns whether a page was loaded. */
  const loadNearEdge = async () => {
    if (view.left() < MARGIN_CANDLES && store.hasOlder) {
      await load(() => store.loadOlder());
      return true;
    }
    if (view.right() > store.candles.length - MARGIN_CANDLES && store.hasNewer) {
      await load(() => store.loadNewer());
      return true;
    }
    return false;
  };

  const mayLoad = () => store.candles.length && !store.isOpening && Date.now() >= retryAt_ms;

  return async () => {
    if (isLoading) return;
    isLoading = true;
    try {
      while (mayLoad() && (await loadNearEdge()));
    } catch (error) {
      if (/** @type {Error} */ (error).name !== 'AbortError') {
        if (!(error instanceof EpochChanged)) retryAt_ms = Date.now() + RETRY_MS;
        onError(error);
      }
    } finally {
      isLoading = false;
    }
  };
}
