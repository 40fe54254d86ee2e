// The view: draws candles and volume, and knows the scroll position and the zoom.

import { candleColors, chartColors, readColors } from './colors.js';
import { createChart } from './series.js';

/** @import { Candle } from '../lib/api.js' */
/** @import { TimeAxis } from './time-axis.js' */

/** @typedef {ReturnType<typeof createView>} View */

/**
 * Creates the view. Indexes count candles from the first one drawn; fractions lie between candles.
 * @param {HTMLElement} container
 * @param {TimeAxis} axis
 * @param {number} digits
 */
export function createView(container, axis, digits) {
  let colors = readColors();
  /** @type {Candle[]} */
  let drawn = [];
  const { chart, prices, volumes } = createChart(container, axis, digits, colors);
  const scale = chart.timeScale();
  // The typed time of the library is opaque with a custom scale.
  const priceBar = (/** @type {Candle} */ [time, open, high, low, close]) =>
    /** @type {any} */ ({ time, open, high, low, close });
  const volumeBar = (/** @type {Candle} */ [time, open, , , close, value]) =>
    /** @type {any} */ ({
      time,
      value,
      color: close >= open ? colors['up-volume'] : colors['down-volume'],
    });

  // The library applies a scroll or zoom in the next frame and returns the old values until then.
  /** @type {{ spacing?: number, margin?: number }} */
  let pending = {};
  const setPending = (/** @type {typeof pending} */ values) => {
    if (!Object.keys(pending).length) requestAnimationFrame(() => (pending = {}));
    Object.assign(pending, values);
  };
  const spacing = () => pending.spacing ?? scale.options().barSpacing;
  const margin = () => pending.margin ?? scale.scrollPosition(); // candles right of the last one
  const right = () => drawn.length - 1 + margin();
  const scrollToEnd = (/** @type {number} */ candles) => {
    setPending({ margin: candles });
    scale.scrollToPosition(candles, false);
  };

  // The right edge as the time of a candle and the distance from it, in candles.
  const rightEdge = () => {
    const index = Math.min(Math.floor(right()), drawn.length - 1);
    return index < 0 ? null : { time: drawn[index][0], distance: right() - index };
  };

  let lastTime = 0; // of the last candle drawn
  const drawOne = (/** @type {Candle} */ candle) => {
    prices.update(priceBar(candle), candle[0] < lastTime);
    volumes.update(volumeBar(candle), candle[0] < lastTime);
    lastTime = Math.max(lastTime, candle[0]);
  };
  const drawAll = (/** @type {Candle[]} */ candles) => {
    drawn = candles;
    lastTime = candles.length ? candles[candles.length - 1][0] : 0;
    prices.setData(candles.map(priceBar));
    volumes.setData(candles.map(volumeBar));
  };
  /**
   * Draws without moving the candles in view. With `follows`, a newest candle in view keeps its
   * place instead, and the others move left.
   * @param {Candle[]} candles
   * @param {boolean} follows
   * @param {(candles: Candle[]) => void} draw
   */
  const drawInPlace = (candles, follows, draw) => {
    const before = margin();
    const edge = follows && before >= 0 ? null : rightEdge();
    draw(candles);
    drawn = candles;
    if (!edge) {
      scrollToEnd(before);
      return;
    }
    const index = drawn.findLastIndex((candle) => candle[0] <= edge.time);
    scrollToEnd(index + edge.distance - (drawn.length - 1));
  };

  return {
    /**
     * Draws all candles. Candles in view stay in place; the library itself counts from the newest.
     * @param {Candle[]} candles
     * @param {boolean} follows
     */
    draw: (candles, follows) => drawInPlace(candles, follows, drawAll),
    /**
     * Draws only the changed candles, and newer ones, which costs less than drawing all.
     * @param {Candle[]} candles
     * @param {Candle[]} changed
     * @param {boolean} follows
     */
    update(candles, changed, follows) {
      const drawChanged = () => changed.forEach(drawOne);
      if (candles.length === drawn.length) drawChanged();
      else drawInPlace(candles, follows, drawChanged);
      drawn = candles;
    },
    /**
     * Draws all candles and time marks: the library computes marks only for times it does not hold.
     * @param {Candle[]} candles
     */
    redraw(candles) {
      const before = margin();
      if (drawn.length) prices.setData([]);
      if (drawn.length) volumes.setData([]);
      drawAll(candles);
      scrollToEnd(before);
    },
    recolor() {
      colors = readColors();
      chart.applyOptions(chartColors(colors));
      prices.applyOptions(candleColors(colors));
      volumes.setData(drawn.map(volumeBar));
    },
    /** Index at the left edge; negative if there is space before the first candle. */
    left: () => right() + 1 - scale.width() / spacing(),
    right,
    spacing,
    /** @param {number} barSpacing */
    setSpacing(barSpacing) {
      setPending({ spacing: barSpacing });
      scale.applyOptions({ barSpacing });
    },
    /** Scrolls to the last candle, with space for a number of candles right of it. */
    scrollToEnd,
    /** @param {number} candles */
    scrollBy: (candles) => scrollToEnd(margin() + candles),
    /** Candles that fit into the width of the view. */
    width: () => scale.width() / spacing(),
    /**
     * Puts the crosshair on a candle; null removes it.
     * @param {number | null} index
     */
    pointAt(index) {
      const candle = index === null ? null : drawn[index];
      if (candle) chart.setCrosshairPosition(candle[4], /** @type {any} */ (candle[0]), prices);
      else chart.clearCrosshairPosition();
    },
    /** @param {() => void} listener */
    onScroll: (listener) => scale.subscribeVisibleLogicalRangeChange(listener),
    /**
     * Calls the listener with the index under the crosshair; `isPointer` is false if candles moved
     * below a crosshair at rest.
     * @param {(index: number | null, isPointer: boolean) => void} listener
     */
    onCrosshair: (listener) =>
      chart.subscribeCrosshairMove(({ logical, sourceEvent }) => {
        listener(logical ?? null, Boolean(sourceEvent));
      }),
    screenshot: () => ({ canvas: chart.takeScreenshot(true), colors }),
  };
}
