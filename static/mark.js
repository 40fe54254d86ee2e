// The mark that says whether what is shown moves.

const WORDS = {
  live: ['Live', 'Prices are shown as they come'],
  polling: ['Delayed', 'Live prices do not get through to here: they are asked for every few seconds'],
  lost: ['Connection lost, trying again…', 'What is shown may be out of date; nothing will be missing'],
  refused: ['Not live', ''],
  asleep: ['Paused', 'Goes on when this page is seen'],
};

// Returns what shows one of these states; `words` say more of it.
export function createMark(element) {
  return (state, words = '') => {
    const [text, title] = WORDS[state];
    element.dataset.state = state;
    element.title = title;
    element.querySelector('span').textContent = words ? `${text}: ${words}` : text;
  };
}
