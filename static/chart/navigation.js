// Opening another timeframe, clock or range of the history.

/** @import { CandleStore } from './candle-store.js' */

/** @typedef {{ tf?: string, clock?: string }} Choice */

/**
 * Creates the functions that replace the candles shown.
 * @param {object} options
 * @param {CandleStore} options.store
 * @param {() => number | null} options.viewEnd  the time at the right edge of the view
 * @param {(to: number | null) => void} options.onOpen  called after the store has new candles
 * @param {(error: any) => void} options.onError
 * @param {(text: string) => void} options.showMessage
 */
export function createNavigation({ store, viewEnd, onOpen, onError, showMessage }) {
  /** @type {Choice} */
  let pending = {}; // a choice made while an earlier one is loading adds to it

  return {
    /**
     * Opens another timeframe, clock or range. By default the right edge of the view stays.
     * @param {Choice & { to?: number | null }} view
     */
    async open({ to = viewEnd(), ...choice }) {
      showMessage('Loading…');
      pending = { ...pending, ...choice };
      try {
        await store.open({ tf: store.tf, clock: store.clock, ...pending, to });
        pending = {};
        showMessage('');
        onOpen(to);
      } catch (error) {
        if (/** @type {Error} */ (error).name !== 'AbortError') pending = {};
        onError(error);
      }
    },
    /** Makes sure that the first candle of the history is loaded. Returns false after an error. */
    async openFirst() {
      try {
        if (store.hasOlder) {
          showMessage('Loading…');
          await store.openFirst();
          showMessage('');
          onOpen(null);
        }
        return true;
      } catch (error) {
        onError(error);
        return false;
      }
    },
  };
}
