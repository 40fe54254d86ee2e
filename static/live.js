// The connection to GET /api/v1/stream: open while the page is seen, healed when it breaks. Where
// a proxy holds streams back, or none is free, `renew` is called every few seconds instead.

const MUTE_MS = 5000; // a stream begins with a heartbeat: without one it does not get through
const MUTES_MAX = 2;
const SILENCE_MS = 35_000; // heartbeats come every 15 s
const STREAM_AGAIN_MS = 60_000; // from polling back to a stream
const LOST_MS = 1500; // a shorter gap, as when a stream has lived its life, is not told of
const REFUSED_FACTOR = 5; // polling does meanwhile
const BACK_OFF_MS = [200, 1000, 2000, 4000, 8000];
const FINAL = [401, 403]; // refusals that trying again does not heal
const GONE = 404; // a symbol that may come again: a pump sends its next tick, or it is renamed back
const GONE_AGAIN_MS = 10_000;

// `hear` gets what comes with a candle, `renew` reads anew all that is shown and resolves to the id
// of its state, `tell` gets a state (live, polling, lost, refused, asleep) and words, `tune` the
// server's time.
export function createLive({ hear, renew, tell, tune = () => {}, poll_ms = 2000 }) {
  let subs = [];
  let id = null;
  let source = null;
  let turn = 0; // of connecting: what an earlier one still waits for no longer counts
  let timer = null;
  let doubt = null;
  let state = '';
  let failures = 0;
  let mutes = 0;
  let streamAt_ms = 0; // before that, polling will do
  let isStale = false; // a reset came, and nothing has been read anew since
  let isRenewing = false;
  let isLeft = false;

  const isSeen = () => !isLeft && document.visibilityState === 'visible';

  const show = (next, words = '') => {
    clearTimeout(doubt);
    doubt = null;
    if (next !== state) tell((state = next), words);
  };
  const suspect = () => {
    doubt ??= setTimeout(() => show('lost'), LOST_MS);
  };
  const later = (act, wait_ms) => {
    clearTimeout(timer);
    timer = setTimeout(act, wait_ms);
  };
  // Many viewers lose one server at once: they come back one by one.
  const backOff = () => {
    const wait_ms = BACK_OFF_MS[Math.min(failures, BACK_OFF_MS.length - 1)];
    failures += 1;
    return wait_ms * (0.5 + Math.random());
  };

  function close() {
    turn += 1;
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function open() {
    close();
    if (!isSeen() || !subs.length) return;
    const query = new URLSearchParams(subs.map((sub) => ['sub', sub]));
    if (id !== null) query.set('since', id);
    source = new EventSource(`/api/v1/stream?${query}`);
    for (const kind of ['heartbeat', 'candle', 'reset']) source.addEventListener(kind, receive);
    source.addEventListener('error', fail);
    later(mute, MUTE_MS);
  }

  function receive({ currentTarget, type, data, lastEventId }) {
    if (currentTarget !== source) return;
    later(fail, SILENCE_MS);
    if (lastEventId) id = lastEventId;
    failures = mutes = streamAt_ms = 0;
    const message = JSON.parse(data);
    if (type === 'heartbeat') tune(message.time);
    if (type === 'candle') hear(message);
    if (type === 'reset') isStale = true;
    if (isStale) heal();
    else show('live');
  }

  // The stream goes on while all is read anew: what it says meanwhile may be newer than the answer.
  async function heal() {
    if (isRenewing) return;
    isRenewing = true;
    const mine = turn;
    try {
      while (isStale) {
        isStale = false;
        await renew();
      }
      if (mine === turn) show('live');
    } catch (error) {
      isStale = true;
      if (mine === turn) giveUp(error);
    } finally {
      isRenewing = false;
    }
  }

  function fail() {
    const isRefused = source?.readyState === EventSource.CLOSED; // with a status, which it hides
    close();
    suspect();
    if (isRefused) streamAt_ms = Date.now() + REFUSED_FACTOR * backOff();
    if (isRefused) poll();
    else later(open, backOff());
  }

  function mute() {
    mutes += 1;
    if (state !== 'polling') suspect();
    if (mutes < MUTES_MAX) {
      open();
      return;
    }
    close();
    streamAt_ms = Date.now() + STREAM_AGAIN_MS;
    poll();
  }

  async function poll() {
    if (!isSeen() || !subs.length) return;
    const mine = turn;
    try {
      const read = await renew();
      if (mine !== turn) return;
      id = read;
      isStale = false;
      show('polling');
      const left_ms = Math.max(streamAt_ms - Date.now(), 0);
      if (left_ms < poll_ms) later(open, left_ms);
      else later(poll, poll_ms);
    } catch (error) {
      if (mine === turn) giveUp(error);
    }
  }

  function giveUp(error) {
    close();
    if (error.status === GONE || FINAL.includes(error.status)) {
      show('refused', error.message);
      if (error.status === GONE) later(poll, GONE_AGAIN_MS);
      return;
    }
    if (error.name !== 'AbortError') suspect();
    later(mutes < MUTES_MAX ? open : poll, backOff());
  }

  const begin = () => {
    if (streamAt_ms > Date.now()) {
      close();
      poll();
    } else open();
  };

  function look() {
    if (isSeen()) begin();
    else {
      close();
      if (subs.length) show('asleep');
    }
  }

  document.addEventListener('visibilitychange', look);
  addEventListener('online', () => source || look());
  addEventListener('pagehide', () => {
    isLeft = true; // it may come back as it was, and only without an open stream
    look();
  });
  addEventListener('pageshow', () => {
    if (isLeft) {
      isLeft = false;
      look();
    }
  });

  return {
    // The id of the newest state that came with the stream or was read.
    id: () => id,
    state: () => state,
    // Follows these subscriptions, and no others, from a state on.
    follow(nextSubs, since) {
      subs = nextSubs;
      id = since;
      begin();
    },
  };
}
