// The chart page: ties the candles held to the drawing, the pickers, the keys and the address.

import { chartPath, createAddress, spacingAsked } from './address.js';
import { createAxis } from './axis.js';
import { caption, clockOffset, createTable, entitle } from './caption.js';
import { closeOf, createCountdown } from './countdown.js';
import { createFollower } from './follower.js';
import { createFiller } from './filler.js';
import { History, Replaced } from './history.js';
import { createLegend, writePrice } from './legend.js';
import { createMark } from './mark.js';
import { createClock, createTimeframes, createZone } from './pickers.js';
import { savePicture } from './picture.js';
import { BAR_SPACING, BAR_SPACING_MIN, createPlot } from './plot.js';
import { createReader } from './reader.js';
import { createShell } from './shell.js';

const DAY = 86400;
const RIGHT_CANDLES = 4; // room beside the newest candle

const byId = (id) => document.getElementById(id);
const read = (id) => JSON.parse(byId(id).textContent);
const facts = read('page-facts');
const lengths = new Map(facts.timeframes);
const say = (text) => {
  byId('status').textContent = text;
};

const held = new History(read('chart-data'), facts.to);
const axis = createAxis();
const plot = createPlot(byId('chart'), axis, facts.digits);
const legend = createLegend(byId('legend'), axis.write, facts.digits);
const reader = createReader({ plot, held, legend, spoken: byId('spoken') });
const isDaily = () => lengths.get(held.tf) >= DAY;
const showTable = createTable(() => ({ held, ...facts, daily: isDaily() }));
const countdown = createCountdown(byId('countdown'), facts.now);
const showAddress = createAddress();
const zoneOffset = createZone(byId('zone'), relabel, say);
const showTimeframe = createTimeframes(byId('timeframes'), (tf) => open({ tf }));
const showClock = createClock(byId('clock'), (clock) => open({ clock }));
const fill = createFiller({ plot, held, failed });
const mark = createMark(byId('live'));
const follower = createFollower({ plot, held, drawn: moved, tell, tune: countdown.tune });

function tell(state, words) {
  mark(state, words);
  moved();
}

function failed(error) {
  if (error instanceof Replaced) open({ to: null });
  else if (error.name !== 'AbortError') say(error.message);
}

const closeAt = (time) => closeOf(held.tf, lengths.get(held.tf), time, clockOffset(held.clock));

// Where the view ends, as an instant; null at the newest candle.
function seenTo() {
  const { candles, newer } = held;
  const index = Math.min(Math.floor(plot.right()), candles.length - 1);
  if (index < 0 || (index === candles.length - 1 && !newer)) return null;
  const next = candles[index + 1];
  return next ? next[0] : closeAt(candles[index][0]);
}

function seenSpacing() {
  const spacing = Math.round(100 * plot.spacing()) / 100;
  return spacing === BAR_SPACING ? null : spacing;
}

let due = false;

// The library tells of a move at once and makes it in the next frame.
function moved() {
  if (!due) requestAnimationFrame(seen);
  due = true;
}

function seen() {
  due = false;
  const to = seenTo();
  byId('newest').hidden = to === null && !held.newer;
  reader.follow();
  tellNewest();
  const { symbol, tf, clock } = held;
  showAddress({ symbol, tf, clock, to, spacing: seenSpacing() });
  fill().then(follower.drawSoon);
}

// What depends on the candles alone, wherever the view is.
function tellNewest() {
  const { candles, newer, forming, last } = held;
  byId('blank').hidden = candles.length > 0;
  entitle(held, follower.isLive() && last && !newer ? writePrice(last[4], facts.digits) : null);
  countdown.show(forming === null ? null : closeAt(forming));
  showTable();
}

// Days and longer candles bear the dates of their own clock, whatever zone is chosen.
function relabel() {
  let offset = clockOffset(held.clock);
  try {
    if (!isDaily()) offset = zoneOffset(held.clock);
  } catch {
    say(`This browser does not know the zone of ${held.clock}: times are shown in UTC.`);
  }
  axis.show(offset, isDaily());
  plot.redraw(held.candles);
  reader.rest();
}

const place = (to) => plot.end(to === null ? RIGHT_CANDLES : 0.5);

function draw(to) {
  caption(held);
  showTimeframe(held.tf, held.clock);
  showClock(held.tf, held.clock);
  tellNewest();
  relabel();
  place(to);
  moved();
}

let wanted = {}; // what is chosen while another choice still loads adds to it

// Shows another timeframe, clock or stretch; where the view ends stays, unless told.
async function open({ to = seenTo(), ...chosen }) {
  say('Loading…');
  wanted = { ...wanted, ...chosen };
  try {
    await held.open({ tf: held.tf, clock: held.clock, ...wanted, to });
    wanted = {};
    say('');
    draw(to);
    follower.follow();
  } catch (error) {
    if (error.name !== 'AbortError') wanted = {};
    failed(error);
  }
}

async function openFirst() {
  try {
    if (held.older !== null) {
      say('Loading…');
      await held.openFirst();
      say('');
      draw(null);
      follower.follow();
    }
    plot.end(plot.bars() - held.candles.length - 1);
  } catch (error) {
    failed(error);
  }
}

const openNewest = () => (held.newer ? open({ to: null }) : place(null));
const scroll = (part) => {
  const room = held.older === null ? Math.max(plot.left() + 1, 0) : Infinity; // to the first candle
  plot.scroll(Math.max(part * plot.bars(), -room));
};
const zoom = (factor) => plot.space(Math.max(plot.spacing() * factor, BAR_SPACING_MIN));
const turn = (by) => {
  const next = facts.timeframes[facts.timeframes.findIndex(([name]) => name === held.tf) + by];
  if (next) open({ tf: next[0] });
};

createShell({
  timeframes: facts.timeframes,
  choose({ symbol, tf }) {
    if (tf) open({ tf });
    else location.assign(chartPath(symbol, { tf: held.tf }));
  },
  keys: {
    ArrowLeft: () => scroll(-0.1),
    ArrowRight: () => scroll(0.1),
    PageUp: () => scroll(-0.9),
    PageDown: () => scroll(0.9),
    'Shift+ArrowLeft': () => reader.step(-1),
    'Shift+ArrowRight': () => reader.step(1),
    Home: openFirst,
    End: openNewest,
    Escape: reader.rest,
    '+': () => zoom(1.25),
    '=': () => zoom(1.25),
    '-': () => zoom(0.8),
    ',': () => turn(-1),
    '.': () => turn(1),
  },
});
byId('newest').addEventListener('click', openNewest);
byId('picture').addEventListener('click', () => savePicture(plot.picture(), held, legend));
document.addEventListener('themechange', plot.recolor);

plot.space(spacingAsked() ?? BAR_SPACING);
draw(facts.to);
plot.onRange(moved);
follower.follow();
requestAnimationFrame(() => performance.mark('candles-drawn')); // after the library's own frame
