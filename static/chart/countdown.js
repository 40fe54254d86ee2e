// The time left until the forming candle closes.

import { wallDate } from '../lib/time-zones.js';

/** @import { OffsetAt } from '../lib/time-zones.js' */

const HOUR = 3600;
const DAY = 86400;
const FIRST_MONDAY = 4 * DAY; // 1970-01-05

/**
 * @param {string} tf
 * @param {number} length
 * @param {number} wall
 */
function nextBucketWall(tf, length, wall) {
  if (tf === 'MN1') {
    const date = wallDate(wall);
    return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) / 1000;
  }
  const origin = tf === 'W1' ? FIRST_MONDAY : 0;
  return Math.floor((wall - origin) / length) * length + length + origin;
}

/**
 * Returns the end of the bucket that starts at `time`. Above H1 a bucket ends when the wall of its
 * clock reaches the next start, so a day may have 23 or 25 hours.
 * @param {string} tf
 * @param {number} length  nominal seconds of the timeframe
 * @param {number} time
 * @param {OffsetAt} offset
 */
export function bucketEnd(tf, length, time, offset) {
  if (length <= HOUR) return time + length;
  const wall = nextBucketWall(tf, length, time + offset(time));
  const estimate = wall - offset(time);
  return wall - offset(estimate);
}

/** @param {number} seconds */
function formatTimeLeft(seconds) {
  const two = (/** @type {number} */ number) => String(Math.floor(number)).padStart(2, '0');
  const days = Math.floor(seconds / DAY);
  const clock = `${two((seconds % HOUR) / 60)}:${two(seconds % 60)}`;
  if (days) return `${days}d ${two((seconds % DAY) / HOUR)}:${clock}`;
  return seconds >= HOUR ? `${two(seconds / HOUR)}:${clock}` : clock;
}

/**
 * Creates a countdown in server time, so a wrong clock of the viewer's machine has no effect.
 * @param {HTMLElement} element  hidden, with its parent, while there is no countdown
 * @param {number} now  the server's time
 */
export function createCountdown(element, now) {
  const container = /** @type {HTMLElement} */ (element.parentElement);
  let skew = 0; // seconds from the viewer's clock to the server's
  /** @type {number | null} */
  let close = null;
  const update = () => {
    const left = close === null ? 0 : Math.ceil(close - Date.now() / 1000 - skew);
    container.hidden = left <= 0;
    element.textContent = formatTimeLeft(Math.max(left, 0));
  };
  const setServerTime = (/** @type {number} */ time) => {
    skew = time - Date.now() / 1000;
  };
  setServerTime(now);
  setInterval(update, 1000);
  return {
    setServerTime,
    /**
     * Sets the instant to count down to; null hides the countdown.
     * @param {number | null} nextClose
     */
    setClose(nextClose) {
      close = nextClose;
      update();
    },
  };
}
