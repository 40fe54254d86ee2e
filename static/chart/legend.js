// The legend over the chart: time, prices, volume and change of one candle.

import { formatCandleChange, formatNumber, formatVolume } from '../lib/format.js';

/** @import { Candle } from '../lib/api.js' */

/** @typedef {ReturnType<typeof createLegend>} Legend */

/**
 * Creates the legend.
 * @param {HTMLElement} list  a <dl> with a <dd> for each value
 * @param {(time: number) => string} timeText
 * @param {number} digits
 */
export function createLegend(list, timeText, digits) {
  const values = [...list.querySelectorAll('dd')];

  /**
   * @param {Candle} candle
   * @param {Candle | undefined} previous
   */
  const textsOf = (candle, previous) => [
    timeText(candle[0]),
    ...candle.slice(1, 5).map((price) => formatNumber(price, digits)),
    formatVolume(candle[5]),
    formatCandleChange(candle, previous),
  ];

  return {
    /**
     * Shows a candle; hides the legend without a candle.
     * @param {Candle | undefined} candle
     * @param {Candle | undefined} previous
     */
    show(candle, previous) {
      list.hidden = !candle;
      if (!candle) return;
      textsOf(candle, previous).forEach((text, index) => {
        values[index].textContent = text;
      });
      list.classList.toggle('down', candle[4] < candle[1]);
    },
    /**
     * Returns the candle as one sentence, for screen readers.
     * @param {Candle} candle
     * @param {Candle | undefined} previous
     */
    describe(candle, previous) {
      const [time, open, high, low, close, volume, change] = textsOf(candle, previous);
      const prices = `open ${open}, high ${high}, low ${low}, close ${close}`;
      return `${time}, ${prices}, volume ${volume}, ${change}`;
    },
  };
}
