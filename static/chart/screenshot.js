// The chart as a PNG file, with its title and the last candle written on top.

/** @import { Candle } from '../lib/api.js' */
/** @import { Legend } from './legend.js' */

const HEADER_HEIGHT = 28;
const MARGIN = 12;

/** @typedef {{ canvas: HTMLCanvasElement, colors: Record<string, string> }} Screenshot */

/**
 * @param {Screenshot} screenshot
 * @param {string} title
 * @param {string} text
 */
function addHeader({ canvas, colors }, title, text) {
  const scale = devicePixelRatio || 1;
  const image = document.createElement('canvas');
  image.width = canvas.width;
  image.height = canvas.height + HEADER_HEIGHT * scale;
  const context = /** @type {CanvasRenderingContext2D} */ (image.getContext('2d'));
  context.fillStyle = colors.background;
  context.fillRect(0, 0, image.width, image.height);
  context.drawImage(canvas, 0, HEADER_HEIGHT * scale);
  context.scale(scale, scale);
  context.textBaseline = 'middle';
  const family = getComputedStyle(document.body).fontFamily;
  context.font = `600 13px ${family}`;
  context.fillStyle = colors.text;
  context.fillText(title, MARGIN, HEADER_HEIGHT / 2);
  const left = 2 * MARGIN + context.measureText(title).width;
  context.font = `12px ${family}`;
  context.fillStyle = colors['text-muted'];
  context.fillText(text, left, HEADER_HEIGHT / 2);
  return image;
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
function download(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/**
 * Downloads a screenshot of the chart.
 * @param {Screenshot} screenshot
 * @param {{ candles: Candle[], symbol: string, tf: string, clock: string }} store
 * @param {Legend} legend
 */
export function saveScreenshot(screenshot, { candles, symbol, tf, clock }, legend) {
  const last = candles.length - 1;
  const text = last < 0 ? '' : legend.describe(candles[last], candles[last - 1]);
  const name = `${symbol}_${tf}_${new Date().toISOString().slice(0, 16).replaceAll(':', '')}Z.png`;
  const image = addHeader(screenshot, `${symbol} ${tf} ${clock}`, text);
  image.toBlob((blob) => blob && download(blob, name), 'image/png');
}
