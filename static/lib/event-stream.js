// The connection to GET /api/v1/stream. It is open while the page is visible and reconnects after
// errors. If a proxy buffers streams, or no stream is free, the page polls with `reload`.

import { createBackOff } from './back-off.js';
import { isPageVisible, onPageVisibility } from './page-visibility.js';

/** @import { CandleEvent } from './api.js' */
/** @import { StreamState } from './stream-status.js' */

/**
 * @typedef {object} EventStreamOptions
 * @property {(event: CandleEvent) => void} onCandle
 * @property {() => Promise<string | null>} reload
 *   loads all that the page shows; resolves to its change id
 * @property {(state: StreamState, detail: string) => void} onState
 * @property {(time: number) => void} [onServerTime]
 * @property {number} [poll_ms]
 */

const FIRST_EVENT_MS = 5000; // a stream begins with a heartbeat: without one it is buffered
const BUFFERED_MAX = 2; // streams without a first event before the page polls
const HEARTBEAT_MAX_MS = 35_000; // heartbeats arrive every 15 s
const RETRY_STREAM_MS = 60_000; // from polling back to a stream
const LOST_AFTER_MS = 1500; // a shorter interruption, such as a renewed stream, is not shown
const REFUSED_FACTOR = 5; // longer delay after a refused stream: the page polls meanwhile
const UNAUTHORIZED = [401, 403]; // retrying does not help
const NOT_FOUND = 404; // the symbol may be created again
const RETRY_NOT_FOUND_MS = 10_000;

/**
 * Creates a stream without subscriptions.
 * @param {EventStreamOptions} options
 */
export function createEventStream({ onCandle, reload, onState, onServerTime, poll_ms = 2000 }) {
  /** @type {string[]} */
  let subscriptions = [];
  /** @type {string | null} */
  let changeId = null;
  /** @type {EventSource | null} */
  let source = null;
  let attempt = 0; // results of earlier attempts are ignored
  const backOff = createBackOff();
  let timer = 0;
  let lostTimer = 0; // 0: not running
  let state = '';
  let buffered = 0;
  let retryStreamAt_ms = 0; // the page polls until then
  let needsReload = false; // after a reset event
  let isReloading = false;

  const setState = (/** @type {StreamState} */ next, detail = '') => {
    clearTimeout(lostTimer);
    lostTimer = 0;
    if (next !== state) onState((state = next), detail);
  };
  const suspectLoss = () => {
    lostTimer ||= setTimeout(() => setState('lost'), LOST_AFTER_MS);
  };
  const schedule = (/** @type {() => void} */ action, /** @type {number} */ wait_ms) => {
    clearTimeout(timer);
    timer = setTimeout(action, wait_ms);
  };

  function close() {
    attempt += 1;
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function open() {
    close();
    if (!isPageVisible() || !subscriptions.length) return;
    const query = new URLSearchParams(subscriptions.map((each) => ['sub', each]));
    if (changeId !== null) query.set('since', changeId);
    source = new EventSource(`/api/v1/stream?${query}`);
    for (const type of ['heartbeat', 'candle', 'reset']) source.addEventListener(type, receive);
    source.addEventListener('error', onError);
    schedule(onBuffered, FIRST_EVENT_MS);
  }

  /** @param {MessageEvent} event */
  function receive({ currentTarget, type, data, lastEventId }) {
    if (currentTarget !== source) return;
    schedule(onError, HEARTBEAT_MAX_MS);
    if (lastEventId) changeId = lastEventId;
    backOff.reset();
    buffered = retryStreamAt_ms = 0;
    const message = JSON.parse(data);
    if (type === 'heartbeat') onServerTime?.(message.time);
    if (type === 'candle') onCandle(message);
    if (type === 'reset') needsReload = true;
    if (needsReload) reloadAfterReset();
    else setState('live');
  }

  // The stream stays open during the reload: its events may be newer than the response.
  async function reloadAfterReset() {
    if (isReloading) return;
    isReloading = true;
    const current = attempt;
    try {
      while (needsReload) {
        needsReload = false;
        await reload();
      }
      if (current === attempt) setState('live');
    } catch (error) {
      needsReload = true;
      if (current === attempt) retryOrStop(error);
    } finally {
      isReloading = false;
    }
  }

  function onError() {
    const isRefused = source?.readyState === EventSource.CLOSED; // EventSource hides the status
    close();
    suspectLoss();
    if (isRefused) retryStreamAt_ms = Date.now() + REFUSED_FACTOR * backOff.next_ms();
    if (isRefused) poll();
    else schedule(open, backOff.next_ms());
  }

  function onBuffered() {
    buffered += 1;
    if (state !== 'polling') suspectLoss();
    if (buffered < BUFFERED_MAX) {
      open();
      return;
    }
    close();
    retryStreamAt_ms = Date.now() + RETRY_STREAM_MS;
    poll();
  }

  async function poll() {
    if (!isPageVisible() || !subscriptions.length) return;
    const current = attempt;
    try {
      const loaded = await reload();
      if (current !== attempt) return;
      changeId = loaded;
      needsReload = false;
      setState('polling');
      const left_ms = Math.max(retryStreamAt_ms - Date.now(), 0);
      if (left_ms < poll_ms) schedule(open, left_ms);
      else schedule(poll, poll_ms);
    } catch (error) {
      if (current === attempt) retryOrStop(error);
    }
  }

  /** @param {any} error */
  function retryOrStop(error) {
    close();
    if (error.status === NOT_FOUND || UNAUTHORIZED.includes(error.status)) {
      setState('refused', error.message);
      if (error.status === NOT_FOUND) schedule(poll, RETRY_NOT_FOUND_MS);
      return;
    }
    if (error.name !== 'AbortError') suspectLoss();
    schedule(buffered < BUFFERED_MAX ? open : poll, backOff.next_ms());
  }

  function connect() {
    if (retryStreamAt_ms > Date.now()) {
      close();
      poll();
    } else open();
  }

  function onVisibility() {
    if (isPageVisible()) connect();
    else {
      close();
      if (subscriptions.length) setState('paused');
    }
  }

  onPageVisibility(onVisibility);
  addEventListener('online', () => source || onVisibility());

  return {
    /** Returns the change id of the newest event or reload. */
    changeId: () => changeId,
    state: () => state,
    /**
     * Replaces all subscriptions, and receives every change after `since`.
     * @param {string[]} nextSubscriptions
     * @param {string} since
     */
    subscribe(nextSubscriptions, since) {
      subscriptions = nextSubscriptions;
      changeId = since;
      connect();
    },
  };
}
