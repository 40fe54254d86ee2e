// Whether the page is visible. A page in the back/forward cache counts as hidden.

let isLeft = false; // between pagehide and pageshow

export function isPageVisible() {
  return !isLeft && document.visibilityState === 'visible';
}

/**
 * Calls `listener` whenever the page may have become visible or hidden.
 * @param {() => void} listener
 */
export function onPageVisibility(listener) {
  document.addEventListener('visibilitychange', listener);
  addEventListener('pagehide', () => {
    isLeft = true; // the browser restores a page only if it holds no open stream
    listener();
  });
  addEventListener('pageshow', () => {
    if (!isLeft) return;
    isLeft = false;
    listener();
  });
}
