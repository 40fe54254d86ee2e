// The chart as a PNG file, with its legend drawn on.

const HEAD = 28;
const MARGIN = 12;

function compose({ canvas, colors }, title, legend) {
  const scale = devicePixelRatio || 1;
  const whole = document.createElement('canvas');
  whole.width = canvas.width;
  whole.height = canvas.height + HEAD * scale;
  const context = whole.getContext('2d');
  context.fillStyle = colors.ground;
  context.fillRect(0, 0, whole.width, whole.height);
  context.drawImage(canvas, 0, HEAD * scale);
  context.scale(scale, scale);
  context.textBaseline = 'middle';
  const family = getComputedStyle(document.body).fontFamily;
  context.font = `600 13px ${family}`;
  context.fillStyle = colors.ink;
  context.fillText(title, MARGIN, HEAD / 2);
  const left = 2 * MARGIN + context.measureText(title).width;
  context.font = `12px ${family}`;
  context.fillStyle = colors.dim;
  context.fillText(legend, left, HEAD / 2);
  return whole;
}

function download(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function savePicture(picture, { candles, symbol, tf, clock }, legend) {
  const last = candles.length - 1;
  const words = last < 0 ? '' : legend.say(candles[last], candles[last - 1]);
  const name = `${symbol}_${tf}_${new Date().toISOString().slice(0, 16).replaceAll(':', '')}Z.png`;
  const whole = compose(picture, `${symbol} ${tf} ${clock}`, words);
  whole.toBlob((blob) => download(blob, name), 'image/png');
}
