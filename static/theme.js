// Runs before the first paint: says that scripts work, and which theme was chosen.
(() => {
  const root = document.documentElement;
  const system = matchMedia('(prefers-color-scheme: dark)');
  root.classList.add('scripted');

  const kept = () => {
    try {
      return localStorage.getItem('theme');
    } catch {
      return null; // storage may be switched off
    }
  };
  const keep = (theme) => {
    try {
      localStorage.setItem('theme', theme);
    } catch {
      // the choice then lasts as long as the page
    }
  };
  const show = (theme) => {
    if (theme === 'dark' || theme === 'light') root.dataset.theme = theme;
    document.dispatchEvent(new Event('themechange'));
  };

  show(kept());
  system.addEventListener('change', () => show(kept()));
  addEventListener('storage', (event) => event.key === 'theme' && show(event.newValue));
  document.addEventListener('click', (event) => {
    if (!event.target.closest('[data-do=theme]')) return;
    const now = root.dataset.theme || (system.matches ? 'dark' : 'light');
    const next = now === 'dark' ? 'light' : 'dark';
    keep(next);
    show(next);
  });
})();
