// Finding a symbol, or a timeframe, by typing.

const SHOWN_MAX = 50;
const UNITS = { M: 'M', H: 'H', D: 'D', W: 'W' };

// The timeframes a text may mean: "15" M15, "4h" and "h4" H4, "d" D1, "mn" MN1.
export function matchTimeframes(timeframes, text) {
  const typed = text.toUpperCase();
  if (/^\d+$/.test(typed)) {
    const found = timeframes.filter(([, seconds]) => seconds === 60 * typed);
    const begun = timeframes.filter(([name]) => name.replace(/^\D+/, '').startsWith(typed));
    return [...new Set([...found, ...begun])].map(([name]) => name);
  }
  const turned = /^(\d+)([MHDW])$/.exec(typed);
  const wanted = turned ? UNITS[turned[2]] + turned[1] : typed;
  return timeframes.map(([name]) => name).filter((name) => name.startsWith(wanted));
}

// Names that begin with the text come first, then those that hold it, then descriptions.
export function matchSymbols(symbols, text) {
  const typed = text.toLowerCase();
  const rank = ({ symbol, description }) => {
    const at = symbol.toLowerCase().indexOf(typed);
    if (at >= 0) return at === 0 ? 0 : 1;
    return description && description.toLowerCase().includes(typed) ? 2 : 3;
  };
  return [0, 1, 2].flatMap((wanted) => symbols.filter((symbol) => rank(symbol) === wanted));
}

async function readSymbols() {
  const response = await fetch('/api/v1/symbols', { headers: { Accept: 'application/json' } });
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  return (await response.json()).symbols;
}

// `choose` gets {symbol} or {tf}. Returns a function that opens the dialog with a text begun.
export function createSearch(dialog, timeframes, choose) {
  const input = dialog.querySelector('input');
  const list = dialog.querySelector('ul');
  const note = dialog.querySelector('.note');
  let symbols = [];
  let found = [];
  let active = 0;

  const option = ({ name, hint }, index) => {
    const item = document.createElement('li');
    item.id = `search-${index}`;
    item.role = 'option';
    const small = document.createElement('small');
    small.textContent = hint;
    item.append(name, ' ', small);
    item.addEventListener('click', () => take(index));
    return item;
  };

  const mark = (index) => {
    active = index;
    [...list.children].forEach((item, place) => {
      item.setAttribute('aria-selected', place === index);
    });
    const item = list.children[index];
    if (item) {
      input.setAttribute('aria-activedescendant', item.id);
      item.scrollIntoView({ block: 'nearest' });
    } else input.removeAttribute('aria-activedescendant');
  };

  const match = () => {
    const text = input.value.trim();
    const frames = text ? matchTimeframes(timeframes, text) : [];
    const named = matchSymbols(symbols, text).map(({ symbol, description }) => ({
      name: symbol,
      hint: description || '',
      go: { symbol },
    }));
    const timed = frames.map((tf) => ({ name: tf, hint: 'timeframe', go: { tf } }));
    // A number, or the whole name of a timeframe, is meant as one.
    const meant = /^\d/.test(text) || frames[0] === text.toUpperCase();
    found = (meant ? [...timed, ...named] : [...named, ...timed]).slice(0, SHOWN_MAX);
    list.replaceChildren(...found.map(option));
    note.textContent = found.length ? '' : 'Nothing of that name.';
    mark(0);
  };

  const take = (index) => {
    if (!found[index]) return;
    dialog.close();
    choose(found[index].go);
  };

  input.addEventListener('input', match);
  dialog.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) {
      event.preventDefault();
      mark((active + step + found.length) % found.length);
    }
  });
  dialog.querySelector('form').addEventListener('submit', (event) => {
    event.preventDefault();
    take(active);
  });

  return async (text = '') => {
    if (!dialog.open) dialog.showModal();
    input.value = text;
    input.focus();
    match();
    try {
      const known = JSON.stringify(symbols);
      symbols = await readSymbols();
      if (JSON.stringify(symbols) !== known) match();
    } catch (error) {
      note.textContent = `The symbols could not be read. ${error.message}`;
    }
  };
}
