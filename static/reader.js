// The candle under the crosshair, moved by the pointer or by keys, in the legend and aloud.

export function createReader({ plot, held, legend, spoken }) {
  let time = null; // of the candle read by keys
  let pointed = null; // index of the candle under the pointer

  const lastSeen = () => Math.min(Math.floor(plot.right()), held.candles.length - 1);

  const show = (index) => {
    const { candles } = held;
    const at = index !== null && candles[index] ? index : lastSeen();
    legend.show(candles[at], candles[at - 1]);
  };

  plot.onCandle((index, isByHand) => {
    pointed = index;
    if (isByHand) time = null;
    if (time === null) show(index);
  });

  return {
    // The candles have moved, or the view: where nothing is read, the last candle in view is shown.
    follow() {
      if (time === null) {
        show(pointed);
        return;
      }
      const index = held.candles.findIndex((candle) => candle[0] === time);
      plot.point(index);
      show(index);
    },
    rest() {
      time = null;
      plot.point(null);
      show(null);
    },
    step(by) {
      const { candles } = held;
      const read = candles.findIndex((candle) => candle[0] === time);
      const next = Math.min(Math.max(read + by, 0), candles.length - 1);
      const index = time === null ? lastSeen() : next;
      if (!candles[index]) return;
      time = candles[index][0];
      const aside = Math.min(index - 1 - plot.left(), 0) + Math.max(index + 1 - plot.right(), 0);
      if (aside) plot.scroll(aside);
      plot.point(index);
      show(index);
      spoken.textContent = legend.say(candles[index], candles[index - 1]);
    },
  };
}
