// Fetches more candles as the view comes near an end of those held.

import { Replaced } from './history.js';

const EDGE_CANDLES = 100;
const RETRY_MS = 3000;

// Returns a function to call whenever the view has moved; `failed` gets what went wrong.
export function createFiller({ plot, held, failed }) {
  let filling = false;
  let restUntil_ms = 0;

  const grown = async (loading) => {
    const follows = !held.newer;
    await loading;
    plot.draw(held.candles, follows);
  };
  const grow = async () => {
    if (plot.left() < EDGE_CANDLES && held.older !== null) {
      await grown(held.loadOlder());
      return true;
    }
    if (plot.right() > held.candles.length - EDGE_CANDLES && held.newer) {
      await grown(held.loadNewer());
      return true;
    }
    return false;
  };

  const mayGrow = () => held.candles.length && !held.opening && Date.now() >= restUntil_ms;

  return async () => {
    if (filling) return;
    filling = true;
    try {
      while (mayGrow() && (await grow()));
    } catch (error) {
      if (error.name !== 'AbortError') {
        if (!(error instanceof Replaced)) restUntil_ms = Date.now() + RETRY_MS;
        failed(error);
      }
    } finally {
      filling = false;
    }
  };
}
