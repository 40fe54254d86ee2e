// UTC offsets of clocks (a zone, an offset, or both, as the server names them) and date texts.
// Wall time is a number of seconds since 1970-01-01 on the wall of a clock.

/** @typedef {(time: number) => number} OffsetAt  UNIX seconds to the seconds ahead of UTC */

const WEEK = 604800;
const CLOCK_NAME = /^(.*?)([+-])?(?:(\d\d):(\d\d))?$/;
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/**
 * Returns the offset function of a clock. Throws RangeError if the browser does not know its zone.
 * @param {string} clock
 * @returns {OffsetAt}
 */
export function offsetOf(clock) {
  const [, zone, sign, hours, minutes] = CLOCK_NAME.exec(clock) ?? [];
  const shift = hours ? (sign === '-' ? -1 : 1) * (Number(hours) * 3600 + Number(minutes) * 60) : 0;
  if (zone === '' || zone === 'UTC') return () => shift;
  const zoneOffset = offsetOfZone(zone);
  return cached((time) => zoneOffset(time) + shift);
}

/**
 * Returns the offset function of a clock, that of UTC if the browser does not know its zone.
 * @param {string} clock
 */
export function offsetOrUtc(clock) {
  try {
    return offsetOf(clock);
  } catch {
    return offsetOf('UTC');
  }
}

/**
 * @param {string} timeZone
 * @returns {OffsetAt}
 */
function offsetOfZone(timeZone) {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  return (time) => {
    /** @type {Record<string, number>} */
    const wall = {};
    for (const { type, value } of format.formatToParts(time * 1000)) wall[type] = Number(value);
    const { year, month, day, hour, minute, second } = wall;
    return Date.UTC(year, month - 1, day, hour, minute, second) / 1000 - time;
  };
}

/**
 * Caches offsets by week, because Intl takes microseconds per call. A week that starts and ends
 * with the same offset has no other offset inside: no zone has changed twice within a week.
 * @param {OffsetAt} exact
 * @returns {OffsetAt}
 */
function cached(exact) {
  /** @type {Map<number, number | null>} */
  const weeks = new Map(); // null: the offset changes within the week
  /** @type {Map<number, number>} */
  const starts = new Map();
  const offsetAtStart = (/** @type {number} */ week) => {
    const offset = starts.get(week) ?? exact(week * WEEK);
    starts.set(week, offset);
    return offset;
  };
  return (time) => {
    const week = Math.floor(time / WEEK);
    if (!weeks.has(week)) {
      const offset = offsetAtStart(week);
      weeks.set(week, offset === offsetAtStart(week + 1) ? offset : null);
    }
    return weeks.get(week) ?? exact(time);
  };
}

/**
 * Returns a Date; its UTC getters read the wall time.
 * @param {number} wall
 */
export function wallDate(wall) {
  return new Date(wall * 1000);
}

/**
 * Returns "2025-01-13".
 * @param {number} wall
 */
export function formatDate(wall) {
  return wallDate(wall).toISOString().slice(0, 10);
}

/**
 * Returns "09:30".
 * @param {number} wall
 */
export function formatTime(wall) {
  return wallDate(wall).toISOString().slice(11, 16);
}

/**
 * Returns "Mon 2025-01-13".
 * @param {number} wall
 */
export function formatDay(wall) {
  return `${DAYS[wallDate(wall).getUTCDay()]} ${formatDate(wall)}`;
}

/** @param {number} wall */
export function monthName(wall) {
  return MONTHS[wallDate(wall).getUTCMonth()];
}

/**
 * Returns the UTC instant "2025-01-13T09:30:00Z" of UNIX seconds.
 * @param {number} time
 */
export function formatInstant(time) {
  return new Date(time * 1000).toISOString().replace('.000Z', 'Z');
}
