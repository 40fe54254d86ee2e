// The stream of the chart's candles: collects events and draws them in the next frame.

import { createEventStream } from '../lib/event-stream.js';

/** @import { Candle, CandleEvent } from '../lib/api.js' */
/** @import { StreamState } from '../lib/stream-status.js' */
/** @import { CandleStore } from './candle-store.js' */
/** @import { View } from './view.js' */

/**
 * Creates the stream without a subscription.
 * @param {object} options
 * @param {CandleStore} options.store
 * @param {View} options.view
 * @param {() => void} options.onDraw  called after candles were drawn
 * @param {(state: StreamState, detail: string) => void} options.onState
 * @param {(time: number) => void} options.onServerTime
 */
export function createLiveCandles({ store, view, onDraw, onState, onServerTime }) {
  /** @type {Candle[]} */
  let received = [];
  let isScheduled = false;

  /** @param {CandleEvent} event */
  const isOfChart = ({ symbol, tf, clock }) =>
    symbol === store.symbol && tf === store.tf && clock === store.clock;

  function draw() {
    isScheduled = false;
    const follows = !store.hasNewer;
    const merged = received.map((candle) => ({ candle, result: store.merge(candle) }));
    // A response under way may be older than these events, so they are merged again after it.
    if (!store.isLoading) received = [];
    const changed = merged.filter(({ result }) => result !== null).map(({ candle }) => candle);
    if (!changed.length) return;
    if (merged.some(({ result }) => result === 'inserted')) view.draw(store.candles, follows);
    else view.update(store.candles, changed, follows);
    onDraw();
  }

  /** @param {CandleEvent} event */
  function onCandle(event) {
    if (!isOfChart(event)) return;
    received.push(event.candle);
    scheduleDraw();
  }

  function scheduleDraw() {
    if (isScheduled || !received.length) return;
    isScheduled = true;
    requestAnimationFrame(draw);
  }

  async function reload() {
    if (store.isOpening) throw new DOMException('another view is being opened', 'AbortError');
    const follows = !store.hasNewer;
    if (await store.reload(view.left(), view.right())) {
      view.draw(store.candles, follows);
      onDraw();
    }
    scheduleDraw();
    return store.changeId;
  }

  const stream = createEventStream({ onCandle, reload, onState, onServerTime });
  return {
    /** Subscribes to the chart that the store holds, from the change that it was read at. */
    subscribe() {
      received = [];
      stream.subscribe([`${store.symbol},${store.tf},${store.clock}`], store.changeId);
    },
    isLive: () => ['live', 'polling'].includes(stream.state()),
    /** Draws received candles again; to be called after more history was loaded. */
    scheduleDraw,
  };
}
