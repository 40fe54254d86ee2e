// How long until the forming candle closes.

import { wallDate } from './zones.js';

const HOUR = 3600;
const DAY = 86400;
const MONDAY = 4 * DAY; // 1970-01-05

function followingWall(tf, seconds, wall) {
  if (tf === 'MN1') {
    const date = wallDate(wall);
    return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) / 1000;
  }
  const origin = tf === 'W1' ? MONDAY : 0;
  return Math.floor((wall - origin) / seconds) * seconds + seconds + origin;
}

// The instant at which the candle that starts at `time` ends. Above H1 that is when the wall
// of its clock reaches the next start, so a day may have 23 or 25 hours.
export function closeOf(tf, seconds, time, offset) {
  if (seconds <= HOUR) return time + seconds;
  const wall = followingWall(tf, seconds, time + offset(time));
  const guess = wall - offset(time);
  return wall - offset(guess);
}

function write(seconds) {
  const two = (number) => String(Math.floor(number)).padStart(2, '0');
  const days = Math.floor(seconds / DAY);
  const clock = `${two((seconds % HOUR) / 60)}:${two(seconds % 60)}`;
  if (days) return `${days}d ${two((seconds % DAY) / HOUR)}:${clock}`;
  return seconds >= HOUR ? `${two(seconds / HOUR)}:${clock}` : clock;
}

// Counts in the server's time, `now` at first, so a wrong clock in the viewer's machine does no harm.
export function createCountdown(element, now) {
  let skew;
  let close = null;
  const tick = () => {
    const left = close === null ? 0 : Math.ceil(close - Date.now() / 1000 - skew);
    element.parentElement.hidden = left <= 0;
    element.textContent = write(Math.max(left, 0));
  };
  const tune = (serverNow) => {
    skew = serverNow - Date.now() / 1000;
  };
  tune(now);
  setInterval(tick, 1000);
  return {
    tune,
    show(nextClose) {
      close = nextClose;
      tick();
    },
  };
}
