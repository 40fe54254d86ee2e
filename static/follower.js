// What the stream says of the candles of the chart: gathered until the next frame, then drawn.

import { createLive } from './live.js';

// `drawn` is called when candles have moved; `tell` and `tune` as with createLive.
export function createFollower({ held, plot, drawn, tell, tune }) {
  let arrived = [];
  let isDue = false;

  const concerns = ({ symbol, tf, clock }) =>
    symbol === held.symbol && tf === held.tf && clock === held.clock;

  function draw() {
    isDue = false;
    const follows = !held.newer;
    const merged = arrived.map((candle) => [candle, held.merge(candle)]);
    if (!held.busy) arrived = []; // else the answer under way may be of before
    const moved = merged.filter(([, how]) => how !== null).map(([candle]) => candle);
    if (!moved.length) return;
    if (merged.some(([, how]) => how === 'inserted')) plot.draw(held.candles, follows);
    else plot.update(held.candles, moved, follows);
    drawn();
  }

  function hear(message) {
    if (!concerns(message)) return;
    arrived.push(message.candle);
    drawSoon();
  }

  function drawSoon() {
    if (isDue || !arrived.length) return;
    isDue = true;
    requestAnimationFrame(draw);
  }

  async function renew() {
    if (held.opening) throw new DOMException('another view is being opened', 'AbortError');
    const follows = !held.newer;
    if (await held.renew(plot.left(), plot.right())) {
      plot.draw(held.candles, follows);
      drawn();
    }
    drawSoon();
    return held.id;
  }

  const live = createLive({ hear, renew, tell, tune });
  return {
    // Follows what is held now, from the state it was read in.
    follow() {
      arrived = [];
      live.follow([`${held.symbol},${held.tf},${held.clock}`], held.id);
    },
    isLive: () => ['live', 'polling'].includes(live.state()),
    // To be called when more has been loaded.
    drawSoon,
  };
}
