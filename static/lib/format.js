// Numbers as people read them, written the same way as by the server: 981,585.25

/** @import { Candle } from './api.js' */

const AGE_UNITS = /** @type {const} */ ([
  [86400, 'd'],
  [3600, 'h'],
  [60, 'min'],
]);

/**
 * Returns a number with a fixed count of decimals and commas between thousands.
 * `toFixed` rounds as Python does; `Intl.NumberFormat` rounds 1.005 up.
 * @param {number} value
 * @param {number} [digits]
 */
export function formatNumber(value, digits = 0) {
  const [whole, ...decimals] = value.toFixed(digits).split('.');
  return [whole.replace(/\B(?=(\d{3})+$)/g, ','), ...decimals].join('.');
}

/** @param {number} volume */
export function formatVolume(volume) {
  return volume.toLocaleString('en-US', { maximumFractionDigits: 8 });
}

/**
 * Returns the change since the previous close in percent, blank if that close is 0.
 * @param {number} close
 * @param {number} previousClose
 */
export function formatChange(close, previousClose) {
  if (previousClose === 0) return '';
  const percent = (100 * (close - previousClose)) / Math.abs(previousClose);
  return `${percent < 0 ? '−' : '+'}${formatNumber(Math.abs(percent), 2)}%`;
}

/**
 * Returns the change of a candle since the close before it, or since its own open.
 * @param {Candle} candle
 * @param {Candle | undefined} previous
 */
export function formatCandleChange(candle, previous) {
  return formatChange(candle[4], previous ? previous[4] : candle[1]);
}

/**
 * Returns how long ago something happened: "now", "5 min ago".
 * @param {number} seconds
 */
export function formatAge(seconds) {
  for (const [length, unit] of AGE_UNITS) {
    if (seconds >= 2 * length) return `${formatNumber(Math.floor(seconds / length))} ${unit} ago`;
  }
  return 'now';
}
