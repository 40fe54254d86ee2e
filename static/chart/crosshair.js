// The crosshair: the pointer or the arrow keys select a candle, which the legend shows. A candle
// selected by keys is also read aloud.

/** @import { CandleStore } from './candle-store.js' */
/** @import { Legend } from './legend.js' */
/** @import { View } from './view.js' */

/**
 * Creates the crosshair.
 * @param {object} options
 * @param {View} options.view
 * @param {CandleStore} options.store
 * @param {Legend} options.legend
 * @param {HTMLElement} options.announcer  an aria-live element
 */
export function createCrosshair({ view, store, legend, announcer }) {
  /** @type {number | null} */
  let selectedTime = null; // of the candle selected by keys
  /** @type {number | null} */
  let pointedIndex = null; // of the candle under the pointer

  const lastVisible = () => Math.min(Math.floor(view.right()), store.candles.length - 1);
  const selectedIndex = () => store.candles.findIndex((candle) => candle[0] === selectedTime);

  const show = (/** @type {number | null} */ index) => {
    const { candles } = store;
    const at = index !== null && candles[index] ? index : lastVisible();
    legend.show(candles[at], candles[at - 1]);
  };

  view.onCrosshair((index, isPointer) => {
    pointedIndex = index;
    if (isPointer) selectedTime = null;
    if (selectedTime === null) show(index);
  });

  return {
    /** Updates the legend after candles or the view have moved. */
    update() {
      if (selectedTime === null) {
        show(pointedIndex);
        return;
      }
      const index = selectedIndex();
      view.pointAt(index);
      show(index);
    },
    /** Removes the crosshair; the legend shows the last visible candle. */
    clear() {
      selectedTime = null;
      view.pointAt(null);
      show(null);
    },
    /**
     * Moves the selection by a number of candles.
     * @param {number} by
     */
    step(by) {
      const { candles } = store;
      const next = Math.min(Math.max(selectedIndex() + by, 0), candles.length - 1);
      const index = selectedTime === null ? lastVisible() : next;
      if (!candles[index]) return;
      selectedTime = candles[index][0];
      const outside = Math.min(index - 1 - view.left(), 0) + Math.max(index + 1 - view.right(), 0);
      if (outside) view.scrollBy(outside);
      view.pointAt(index);
      show(index);
      announcer.textContent = legend.describe(candles[index], candles[index - 1]);
    },
  };
}
