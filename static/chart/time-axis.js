// The time axis: lightweight-charts has no time zones, so marks and labels are computed here.

import { formatDate, formatDay, formatTime, monthName, wallDate } from '../lib/time-zones.js';
import {
  TickMarkType,
  defaultHorzScaleBehavior,
} from '../vendor/lightweight-charts@5.2.1/lightweight-charts.standalone.production.mjs';

/** @import { OffsetAt } from '../lib/time-zones.js' */

const DAY = 86400;
// Weights of the library's own axis (its TickMarkWeight), heaviest first.
const YEAR_WEIGHT = 70;
const MONTH_WEIGHT = 60;
const DAY_WEIGHT = 50;
const INTRADAY_WEIGHTS = [
  [43200, 33],
  [21600, 32],
  [10800, 31],
  [3600, 30],
  [1800, 22],
  [300, 21],
  [60, 20],
];

/**
 * @param {number} wall
 * @param {number} previousWall
 */
function weightOf(wall, previousWall) {
  if (Math.floor(wall / DAY) !== Math.floor(previousWall / DAY)) {
    const date = wallDate(wall);
    const previous = wallDate(previousWall);
    if (date.getUTCFullYear() !== previous.getUTCFullYear()) return YEAR_WEIGHT;
    return date.getUTCMonth() === previous.getUTCMonth() ? DAY_WEIGHT : MONTH_WEIGHT;
  }
  for (const [length, weight] of INTRADAY_WEIGHTS) {
    if (Math.floor(wall / length) !== Math.floor(previousWall / length)) return weight;
  }
  return 0;
}

/** @typedef {ReturnType<typeof createTimeAxis>} TimeAxis */

/** Creates the axis, in UTC at first. */
export function createTimeAxis() {
  /** @type {OffsetAt} */
  let offset = () => 0;
  let isDaily = false;
  const wallOf = (/** @type {number} */ time) => time + offset(time);

  // The library marks days at midnight UTC; this scale marks them at midnight of the zone shown.
  class WallScale extends defaultHorzScaleBehavior() {
    /**
     * @param {readonly any[]} points
     * @param {number} start
     */
    fillWeightsForPoints(points, start) {
      for (let index = start; index < points.length; index += 1) {
        const wall = wallOf(points[index].originalTime);
        const previous = index > 0 ? wallOf(points[index - 1].originalTime) : wall - DAY;
        points[index].timeWeight = weightOf(wall, previous);
      }
    }
  }

  return {
    scale: new WallScale(),
    /**
     * Sets the zone shown. Daily and longer candles are labelled with the date of their own clock.
     * @param {OffsetAt} nextOffset
     * @param {boolean} nextIsDaily
     */
    setZone(nextOffset, nextIsDaily) {
      offset = nextOffset;
      isDaily = nextIsDaily;
    },
    /**
     * Returns the text of a mark on the axis.
     * @param {any} time
     * @param {TickMarkType} type
     */
    formatMark(time, type) {
      const wall = wallOf(time);
      if (type === TickMarkType.Year) return formatDate(wall).slice(0, 4);
      if (type === TickMarkType.Month) return monthName(wall);
      if (type !== TickMarkType.DayOfMonth) return formatTime(wall);
      const day = String(wallDate(wall).getUTCDate());
      return isDaily ? day : `${day} ${monthName(wall)}`;
    },
    /**
     * Returns the full time of a candle: "Mon 2025-01-13 09:30".
     * @param {any} time
     */
    formatTime(time) {
      const wall = wallOf(time);
      return isDaily ? formatDay(wall) : `${formatDay(wall)} ${formatTime(wall)}`;
    },
  };
}
