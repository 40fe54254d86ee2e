// The colours of the chart, read from the CSS variables of the theme.

const NAMES = [
  ...['background', 'text', 'text-muted', 'grid', 'border'],
  ...['up', 'down', 'up-volume', 'down-volume'],
];

/** @typedef {Record<string, string>} Colors */

/**
 * Returns the colours of the current theme. A variable may be light-dark(…), which only the computed
 * style of a property resolves.
 * @returns {Colors}
 */
export function readColors() {
  const probe = document.createElement('i');
  document.body.append(probe);
  const read = (/** @type {string} */ name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const colors = Object.fromEntries(NAMES.map((name) => [name, read(name)]));
  probe.remove();
  return colors;
}

/**
 * Returns the chart options that hold colours.
 * @param {Colors} colors
 */
export function chartColors(colors) {
  const muted = colors['text-muted'];
  const line = { color: muted, labelBackgroundColor: muted };
  return {
    layout: { background: { color: colors.background }, textColor: muted },
    grid: { vertLines: { color: colors.grid }, horzLines: { color: colors.grid } },
    crosshair: { vertLine: line, horzLine: line },
    rightPriceScale: { borderColor: colors.border },
    timeScale: { borderColor: colors.border },
  };
}

/**
 * Returns the options of the candle series that hold colours.
 * @param {Colors} colors
 */
export function candleColors({ up, down }) {
  return { upColor: up, downColor: down, wickUpColor: up, wickDownColor: down };
}
