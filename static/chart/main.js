// The chart page: connects the candle store to the view, the stream, the pickers, the keys and the
// URL.

import { byId } from '../lib/dom.js';
import { formatNumber } from '../lib/format.js';
import { createShortcuts } from '../lib/shortcuts.js';
import { createStreamStatus } from '../lib/stream-status.js';
import { offsetOrUtc } from '../lib/time-zones.js';
import { CandleStore, EpochChanged } from './candle-store.js';
import { createCandleTable } from './candle-table.js';
import { bucketEnd, createCountdown } from './countdown.js';
import { createCrosshair } from './crosshair.js';
import { createHistoryLoader } from './history-loader.js';
import { createKeys } from './keys.js';
import { createLegend } from './legend.js';
import { createLiveCandles } from './live-candles.js';
import { createNavigation } from './navigation.js';
import { createClockPicker, createTimeframePicker, createZonePicker } from './pickers.js';
import { saveScreenshot } from './screenshot.js';
import { SPACING } from './series.js';
import { createTimeAxis } from './time-axis.js';
import { showChartName, showTitle } from './title.js';
import { chartPath, createUrlState, spacingFromUrl } from './url-state.js';
import { createView } from './view.js';

/** @import { StreamState } from '../lib/stream-status.js' */
/** @import { Timeframe } from '../lib/symbol-search.js' */

/**
 * @typedef {object} ChartConfig
 * @property {number} digits
 * @property {number | null} to  end of the view, null for the newest candle
 * @property {number} now  the server's time
 * @property {number} rows  of the candle table
 * @property {Timeframe[]} timeframes
 */

const DAY = 86400;
const MARGIN_CANDLES = 4; // space right of the newest candle

const readJson = (/** @type {string} */ id) => JSON.parse(byId(id).textContent);
const showMessage = (/** @type {string} */ text) => {
  byId('message').textContent = text;
};

/** @type {ChartConfig} */
const config = readJson('chart-config');
const lengths = new Map(config.timeframes);
const store = new CandleStore(readJson('chart-data'), config.to);
const lengthOf = (/** @type {string} */ tf) => /** @type {number} */ (lengths.get(tf));
const isDaily = () => lengthOf(store.tf) >= DAY;

const axis = createTimeAxis();
const view = createView(byId('chart'), axis, config.digits);
const legend = createLegend(byId('legend'), axis.formatTime, config.digits);
const crosshair = createCrosshair({ view, store, legend, announcer: byId('announcer') });
const updateTable = createCandleTable(() => ({ store, ...config, isDaily: isDaily() }));
const countdown = createCountdown(byId('countdown'), config.now);
const updateUrl = createUrlState();
const zoneOffset = createZonePicker(byId('zone'), updateZone, showMessage);
const showTimeframe = createTimeframePicker(byId('timeframes'), (tf) => navigation.open({ tf }));
const showClock = createClockPicker(byId('clock'), (clock) => navigation.open({ clock }));
const loadHistory = createHistoryLoader({ view, store, onError });
const showStreamStatus = createStreamStatus(byId('stream-status'));
const live = createLiveCandles({
  store,
  view,
  onDraw: scheduleUpdate,
  onState,
  onServerTime: countdown.setServerTime,
});
const navigation = createNavigation({ store, viewEnd, onOpen, onError, showMessage });

/**
 * @param {StreamState} state
 * @param {string} detail
 */
function onState(state, detail) {
  showStreamStatus(state, detail);
  scheduleUpdate();
}

/** @param {any} error */
function onError(error) {
  if (error instanceof EpochChanged) navigation.open({ to: null });
  else if (error.name !== 'AbortError') showMessage(error.message);
}

/** @param {number} time */
const closeOf = (time) => bucketEnd(store.tf, lengthOf(store.tf), time, offsetOrUtc(store.clock));

/** The time at the right edge of the view, null at the newest candle. */
function viewEnd() {
  const { candles, hasNewer } = store;
  const index = Math.min(Math.floor(view.right()), candles.length - 1);
  if (index < 0 || (index === candles.length - 1 && !hasNewer)) return null;
  const next = candles[index + 1];
  return next ? next[0] : closeOf(candles[index][0]);
}

function urlSpacing() {
  const spacing = Math.round(100 * view.spacing()) / 100;
  return spacing === SPACING ? null : spacing;
}

let isUpdateScheduled = false;

// The library reports a scroll immediately and applies it in the next frame.
function scheduleUpdate() {
  if (!isUpdateScheduled) requestAnimationFrame(update);
  isUpdateScheduled = true;
}

function update() {
  isUpdateScheduled = false;
  const to = viewEnd();
  byId('newest').hidden = to === null && !store.hasNewer;
  crosshair.update();
  updateLatest();
  const { symbol, tf, clock } = store;
  updateUrl({ symbol, tf, clock, to, spacing: urlSpacing() });
  loadHistory().then(live.scheduleDraw);
}

// The parts that depend on the candles only, not on the view.
function updateLatest() {
  const { candles, hasNewer, forming, last } = store;
  byId('no-candles').hidden = candles.length > 0;
  const isCurrent = live.isLive() && last && !hasNewer;
  showTitle(store, isCurrent ? formatNumber(last[4], config.digits) : null);
  countdown.setClose(forming === null ? null : closeOf(forming));
  updateTable();
}

function updateZone() {
  let offset = offsetOrUtc(store.clock);
  try {
    if (!isDaily()) offset = zoneOffset(store.clock);
  } catch {
    showMessage(`This browser does not know the zone of ${store.clock}: times are shown in UTC.`);
  }
  axis.setZone(offset, isDaily());
  view.redraw(store.candles);
  crosshair.clear();
}

/** @param {number | null} to */
const scrollTo = (to) => view.scrollToEnd(to === null ? MARGIN_CANDLES : 0.5);

/** @param {number | null} to */
function draw(to) {
  showChartName(store);
  showTimeframe(store.tf, store.clock);
  showClock(store.tf, store.clock);
  updateLatest();
  updateZone();
  scrollTo(to);
  scheduleUpdate();
}

/** @param {number | null} to */
function onOpen(to) {
  draw(to);
  live.subscribe();
}

async function openFirst() {
  const isHeld = await navigation.openFirst();
  if (isHeld) view.scrollToEnd(view.width() - store.candles.length - 1);
}

function openNewest() {
  if (store.hasNewer) navigation.open({ to: null });
  else scrollTo(null);
}

const openTimeframe = (/** @type {string} */ tf) => navigation.open({ tf });
const { timeframes } = config;
createShortcuts({
  timeframes,
  keys: createKeys({ store, view, crosshair, timeframes, openTimeframe, openFirst, openNewest }),
  choose({ symbol, tf }) {
    if (tf) openTimeframe(tf);
    else if (symbol) location.assign(chartPath(symbol, { tf: store.tf }));
  },
});
byId('newest').addEventListener('click', openNewest);
byId('screenshot').addEventListener('click', () =>
  saveScreenshot(view.screenshot(), store, legend),
);
document.addEventListener('themechange', view.recolor);

view.setSpacing(spacingFromUrl() ?? SPACING);
draw(config.to);
view.onScroll(scheduleUpdate);
live.subscribe();
requestAnimationFrame(() => performance.mark('candles-drawn')); // after the library's own frame
