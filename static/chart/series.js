// The lightweight-charts chart: its options, the candle series and the volume series.

import { formatNumber } from '../lib/format.js';
import {
  CandlestickSeries,
  CrosshairMode,
  HistogramSeries,
  PriceLineSource,
  createChartEx,
} from '../vendor/lightweight-charts@5.2.1/lightweight-charts.standalone.production.mjs';
import { candleColors, chartColors } from './colors.js';

/** @import { Colors } from './colors.js' */
/** @import { TimeAxis } from './time-axis.js' */

export const SPACING = 8; // pixels per candle
export const SPACING_MIN = 0.5;

/**
 * Creates the chart and its series.
 * @param {HTMLElement} container
 * @param {TimeAxis} axis
 * @param {number} digits
 * @param {Colors} colors
 */
export function createChart(container, axis, digits, colors) {
  const themed = chartColors(colors);
  const chart = createChartEx(container, axis.scale, {
    ...themed,
    autoSize: true,
    layout: {
      ...themed.layout,
      attributionLogo: false, // it adds a <style>, which the CSP forbids; the footer has the credit
      fontFamily: getComputedStyle(document.body).fontFamily,
      fontSize: 11,
    },
    localization: { locale: 'en', timeFormatter: axis.formatTime },
    crosshair: { ...themed.crosshair, mode: CrosshairMode.Normal },
    handleScroll: { vertTouchDrag: false },
    rightPriceScale: {
      ...themed.rightPriceScale,
      entireTextOnly: true,
      scaleMargins: { top: 0.1, bottom: 0.22 },
    },
    // The library's types leave out the formatter when the scale is custom.
    timeScale: /** @type {any} */ ({
      ...themed.timeScale,
      timeVisible: true,
      barSpacing: SPACING,
      minBarSpacing: SPACING_MIN,
      tickMarkFormatter: axis.formatMark,
      tickMarkMaxCharacterLength: 7,
    }),
  });
  const prices = chart.addSeries(CandlestickSeries, {
    ...candleColors(colors),
    borderVisible: false,
    priceLineSource: PriceLineSource.LastVisible,
    priceFormat: {
      type: 'custom',
      formatter: (/** @type {number} */ price) => formatNumber(price, digits),
      minMove: 10 ** -digits,
      base: 10 ** digits,
    },
  });
  const volumes = chart.addSeries(HistogramSeries, {
    priceScaleId: 'volume',
    priceFormat: { type: 'volume' },
    lastValueVisible: false,
    priceLineVisible: false,
  });
  chart.priceScale('volume').applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
  return { chart, prices, volumes };
}
