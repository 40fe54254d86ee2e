// Classic script in <head>, so it runs before the first paint: marks the page as scripted and
// applies the chosen theme.
(() => {
  const root = document.documentElement;
  const prefersDark = matchMedia('(prefers-color-scheme: dark)');
  root.classList.add('scripted');

  const readTheme = () => {
    try {
      return localStorage.getItem('theme');
    } catch {
      return null; // storage may be disabled
    }
  };
  const saveTheme = (/** @type {string} */ theme) => {
    try {
      localStorage.setItem('theme', theme);
    } catch {
      // the choice lasts until the page is closed
    }
  };
  const applyTheme = (/** @type {string | null} */ theme) => {
    if (theme === 'dark' || theme === 'light') root.dataset.theme = theme;
    document.dispatchEvent(new Event('themechange'));
  };

  applyTheme(readTheme());
  prefersDark.addEventListener('change', () => applyTheme(readTheme()));
  addEventListener('storage', (event) => event.key === 'theme' && applyTheme(event.newValue));
  document.addEventListener('click', (event) => {
    const target = /** @type {Element} */ (event.target);
    if (!target.closest('[data-action=theme]')) return;
    const current = root.dataset.theme || (prefersDark.matches ? 'dark' : 'light');
    const next = current === 'dark' ? 'light' : 'dark';
    saveTheme(next);
    applyTheme(next);
  });
})();
