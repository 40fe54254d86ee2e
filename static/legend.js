// The values of one candle in words: the legend over the chart, the page's title, the table.

export function writePrice(price, digits) {
  return price.toFixed(digits);
}

export function writeVolume(volume) {
  return volume.toLocaleString('en-US', { maximumFractionDigits: 8 });
}

// From the close before, as charts are wont to; of the first candle from its own open.
export function writeChange(candle, before) {
  const from = before ? before[4] : candle[1];
  if (from === 0) return '';
  const percent = (100 * (candle[4] - from)) / Math.abs(from);
  return `${percent < 0 ? '−' : '+'}${Math.abs(percent).toFixed(2)}%`;
}

export function createLegend(list, writeTime, digits) {
  const values = [...list.querySelectorAll('dd')];

  const texts = (candle, before) => [
    writeTime(candle[0]),
    ...candle.slice(1, 5).map((price) => writePrice(price, digits)),
    writeVolume(candle[5]),
    writeChange(candle, before),
  ];

  return {
    show(candle, before) {
      list.hidden = !candle;
      if (!candle) return;
      texts(candle, before).forEach((text, index) => {
        values[index].textContent = text;
      });
      list.classList.toggle('down', candle[4] < candle[1]);
    },
    // One sentence, for those who listen.
    say(candle, before) {
      const [time, open, high, low, close, volume, change] = texts(candle, before);
      const prices = `open ${open}, high ${high}, low ${low}, close ${close}`;
      return `${time}, ${prices}, volume ${volume}, ${change}`;
    },
  };
}

// Fills the table's body with the last candles, newest first.
export function fillTable(body, candles, count, writeTime, digits) {
  const row = (candle) => {
    const line = document.createElement('tr');
    const head = document.createElement('th');
    head.scope = 'row';
    head.textContent = writeTime(candle[0]);
    line.append(head);
    const prices = candle.slice(1, 5).map((price) => writePrice(price, digits));
    for (const text of [...prices, writeVolume(candle[5])]) {
      const cell = document.createElement('td');
      cell.textContent = text;
      line.append(cell);
    }
    return line;
  };
  body.replaceChildren(...candles.slice(-count).reverse().map(row));
}
