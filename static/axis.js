// The time axis: lightweight-charts knows no zones, so marks and labels are made here.

import {
  TickMarkType,
  defaultHorzScaleBehavior,
} from './vendor/lightweight-charts@5.2.1/lightweight-charts.standalone.production.mjs';
import { monthName, wallDate, writeDate, writeDay, writeTime } from './zones.js';

const DAY = 86400;
// Weights of the library's own axis (its TickMarkWeight), heaviest first.
const YEAR_WEIGHT = 70;
const MONTH_WEIGHT = 60;
const DAY_WEIGHT = 50;
const WEIGHTS = [
  [43200, 33],
  [21600, 32],
  [10800, 31],
  [3600, 30],
  [1800, 22],
  [300, 21],
  [60, 20],
];

function weigh(wall, before) {
  if (Math.floor(wall / DAY) !== Math.floor(before / DAY)) {
    const now = wallDate(wall);
    const then = wallDate(before);
    if (now.getUTCFullYear() !== then.getUTCFullYear()) return YEAR_WEIGHT;
    return now.getUTCMonth() === then.getUTCMonth() ? DAY_WEIGHT : MONTH_WEIGHT;
  }
  for (const [length, weight] of WEIGHTS) {
    if (Math.floor(wall / length) !== Math.floor(before / length)) return weight;
  }
  return 0;
}

export function createAxis() {
  let offset = () => 0;
  let daily = false;
  const wallOf = (time) => time + offset(time);

  // The library marks days where UTC's days begin; these begin where the wall's do.
  class WallScale extends defaultHorzScaleBehavior() {
    fillWeightsForPoints(points, start) {
      for (let index = start; index < points.length; index += 1) {
        const wall = wallOf(points[index].originalTime);
        const before = index > 0 ? wallOf(points[index - 1].originalTime) : wall - DAY;
        points[index].timeWeight = weigh(wall, before);
      }
    }
  }

  return {
    scale: new WallScale(),
    // Candles of a day and longer carry a date of their own clock, whatever zone is shown.
    show(nextOffset, isDaily) {
      offset = nextOffset;
      daily = isDaily;
    },
    mark(time, type) {
      const wall = wallOf(time);
      if (type === TickMarkType.Year) return writeDate(wall).slice(0, 4);
      if (type === TickMarkType.Month) return monthName(wall);
      if (type !== TickMarkType.DayOfMonth) return writeTime(wall);
      const day = String(wallDate(wall).getUTCDate());
      return daily ? day : `${day} ${monthName(wall)}`;
    },
    write(time) {
      const wall = wallOf(time);
      return daily ? writeDay(wall) : `${writeDay(wall)} ${writeTime(wall)}`;
    },
  };
}
