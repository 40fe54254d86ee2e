// The drawing: candles and volume on a lightweight-charts chart.

import {
  CandlestickSeries,
  CrosshairMode,
  HistogramSeries,
  PriceLineSource,
  createChartEx,
} from './vendor/lightweight-charts@5.2.1/lightweight-charts.standalone.production.mjs';

export const BAR_SPACING = 8;
export const BAR_SPACING_MIN = 0.5;

// A CSS variable may be light-dark(…), which only the computed style of a property resolves.
function readColors() {
  const probe = document.createElement('i');
  document.body.append(probe);
  const read = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ['ground', 'ink', 'dim', 'grid', 'line', 'up', 'down', 'up-volume', 'down-volume'];
  const colors = Object.fromEntries(names.map((name) => [name, read(name)]));
  probe.remove();
  return colors;
}

function chartColors(colors) {
  const label = { color: colors.dim, labelBackgroundColor: colors.dim };
  return {
    layout: { background: { color: colors.ground }, textColor: colors.dim },
    grid: { vertLines: { color: colors.grid }, horzLines: { color: colors.grid } },
    crosshair: { vertLine: label, horzLine: label },
    rightPriceScale: { borderColor: colors.line },
    timeScale: { borderColor: colors.line },
  };
}

function candleColors({ up, down }) {
  return { upColor: up, downColor: down, wickUpColor: up, wickDownColor: down };
}

export function createPlot(container, axis, digits) {
  let colors = readColors();
  let held = [];
  const chart = createChartEx(container, axis.scale, {
    autoSize: true,
    ...chartColors(colors),
    layout: {
      ...chartColors(colors).layout,
      attributionLogo: false, // it injects a <style>, which the CSP forbids; the foot gives credit
      fontFamily: getComputedStyle(document.body).fontFamily,
      fontSize: 11,
    },
    localization: { locale: 'en', timeFormatter: axis.write },
    crosshair: { ...chartColors(colors).crosshair, mode: CrosshairMode.Normal },
    handleScroll: { vertTouchDrag: false },
    rightPriceScale: {
      ...chartColors(colors).rightPriceScale,
      entireTextOnly: true,
      scaleMargins: { top: 0.1, bottom: 0.22 },
    },
    timeScale: {
      ...chartColors(colors).timeScale,
      timeVisible: true,
      barSpacing: BAR_SPACING,
      minBarSpacing: BAR_SPACING_MIN,
      tickMarkFormatter: axis.mark,
      tickMarkMaxCharacterLength: 7,
    },
  });
  const price = chart.addSeries(CandlestickSeries, {
    ...candleColors(colors),
    borderVisible: false,
    priceLineSource: PriceLineSource.LastVisible,
    priceFormat: { type: 'price', precision: digits, minMove: 10 ** -digits, base: 10 ** digits },
  });
  const volume = chart.addSeries(HistogramSeries, {
    priceScaleId: 'volume',
    priceFormat: { type: 'volume' },
    lastValueVisible: false,
    priceLineVisible: false,
  });
  chart.priceScale('volume').applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
  const time = chart.timeScale();

  const bar = ([at, open, high, low, close]) => ({ time: at, open, high, low, close });
  const column = ([at, open, , , close, value]) => ({
    time: at,
    value,
    color: close >= open ? colors['up-volume'] : colors['down-volume'],
  });

  // The library applies what it is told in the next frame and until then tells what was before.
  let told = {};
  const tell = (change) => {
    if (!Object.keys(told).length) requestAnimationFrame(() => (told = {}));
    Object.assign(told, change);
  };
  const spacing = () => told.spacing ?? time.options().barSpacing;
  const beyond = () => told.beyond ?? time.scrollPosition();
  const right = () => held.length - 1 + beyond();
  const end = (candles) => {
    tell({ beyond: candles });
    time.scrollToPosition(candles, false);
  };

  // Where the view ends: between which candles, and how far beyond.
  const place = () => {
    const index = Math.min(Math.floor(right()), held.length - 1);
    return index < 0 ? null : { time: held[index][0], part: right() - index };
  };
  const restore = ({ time: at, part }) => {
    const index = held.findLastIndex((candle) => candle[0] <= at);
    end(index + part - (held.length - 1));
  };

  let newest = 0; // time of the last candle drawn
  const put = (candle) => {
    price.update(bar(candle), candle[0] < newest);
    volume.update(column(candle), candle[0] < newest);
    newest = Math.max(newest, candle[0]);
  };
  const setData = (candles) => {
    held = candles;
    newest = candles.length ? candles[candles.length - 1][0] : 0;
    price.setData(candles.map(bar));
    volume.setData(candles.map(column));
  };
  // `follows`: where the newest candle is in view it stays at its place, and the others go left.
  const keeping = (candles, follows, change) => {
    const kept = beyond();
    const seen = follows && kept >= 0 ? null : place();
    change(candles);
    held = candles;
    if (seen) restore(seen);
    else end(kept);
  };
  const draw = (candles, follows) => keeping(candles, follows, setData);

  return {
    // Draws what is held by now. Those in view stay where they are; the library itself counts from
    // the newest one.
    draw,
    // Draws those candles that have moved, and newer ones, without the labour of all.
    update(candles, moved, follows) {
      const apply = () => moved.forEach(put);
      if (candles.length === held.length) apply();
      else keeping(candles, follows, apply);
      held = candles;
    },
    // Draws all anew: the library weighs its marks only for times it has not got.
    redraw(candles) {
      const kept = beyond();
      if (held.length) price.setData([]);
      if (held.length) volume.setData([]);
      setData(candles);
      end(kept);
    },
    recolor() {
      colors = readColors();
      chart.applyOptions(chartColors(colors));
      price.applyOptions(candleColors(colors));
      volume.setData(held.map(column));
    },
    // Indexes of the candles at the edges; beyond the candles where there is room beside them.
    left: () => right() + 1 - time.width() / spacing(),
    right,
    spacing,
    space(barSpacing) {
      tell({ spacing: barSpacing });
      time.applyOptions({ barSpacing });
    },
    // Puts the right edge so many candles beyond the last one.
    end,
    scroll: (candles) => end(beyond() + candles),
    bars: () => time.width() / spacing(),
    point(index) {
      const candle = index === null ? null : held[index];
      if (candle) chart.setCrosshairPosition(candle[4], candle[0], price);
      else chart.clearCrosshairPosition();
    },
    onRange: (tell) => time.subscribeVisibleLogicalRangeChange(tell),
    // `isByHand` is false where the candles moved below the crosshair.
    onCandle: (tell) =>
      chart.subscribeCrosshairMove(({ logical, sourceEvent }) => {
        tell(logical ?? null, Boolean(sourceEvent));
      }),
    picture: () => ({ canvas: chart.takeScreenshot(true), colors }),
  };
}
