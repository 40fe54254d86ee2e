// How far a wall is ahead of UTC: a zone, an offset, or both, as the server names clocks.

const WEEK = 604800;
const NAME = /^(.*?)([+-])?(?:(\d\d):(\d\d))?$/;

// Returns a function from an instant to the seconds its wall is ahead of UTC.
// Throws RangeError where the browser does not know the zone.
export function offsetOf(name) {
  const [, zone, sign, hours, minutes] = NAME.exec(name);
  const shift = hours ? (sign === '-' ? -1 : 1) * (hours * 3600 + minutes * 60) : 0;
  if (zone === '' || zone === 'UTC') return () => shift;
  const exact = offsetByZone(zone);
  return cached((time) => exact(time) + shift);
}

function offsetByZone(timeZone) {
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
    const wall = {};
    for (const { type, value } of format.formatToParts(time * 1000)) wall[type] = Number(value);
    const { year, month, day, hour, minute, second } = wall;
    return Date.UTC(year, month - 1, day, hour, minute, second) / 1000 - time;
  };
}

// Intl takes microseconds, a chart asks for every candle. A week that begins and ends with one
// offset has no other in between: no zone has changed twice within a week.
function cached(exact) {
  const weeks = new Map();
  const edges = new Map();
  const edge = (week) => {
    if (!edges.has(week)) edges.set(week, exact(week * WEEK));
    return edges.get(week);
  };
  return (time) => {
    const week = Math.floor(time / WEEK);
    if (!weeks.has(week)) weeks.set(week, edge(week) === edge(week + 1) ? edge(week) : null);
    return weeks.get(week) ?? exact(time);
  };
}

const two = (number) => String(number).padStart(2, '0');
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

// A wall is seconds since 1970 on that wall, so the UTC getters read it.
export function wallDate(wall) {
  return new Date(wall * 1000);
}

export function writeDate(wall) {
  return wallDate(wall).toISOString().slice(0, 10);
}

export function writeTime(wall) {
  const date = wallDate(wall);
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
}

export function writeDay(wall) {
  return `${DAYS[wallDate(wall).getUTCDay()]} ${writeDate(wall)}`;
}

export function monthName(wall) {
  return MONTHS[wallDate(wall).getUTCMonth()];
}
