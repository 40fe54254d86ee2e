// The URL names what is seen: symbol, timeframe, clock, and where the view was scrolled to.

const WAIT_MS = 250; // browsers allow some hundred changes in half a minute

function iso(time) {
  return new Date(time * 1000).toISOString().replace('.000Z', 'Z');
}

// How many pixels a candle takes, where the address says so; else null.
export function spacingAsked() {
  const spacing = Number(new URLSearchParams(location.search).get('spacing'));
  return spacing >= 0.5 && spacing <= 200 ? spacing : null;
}

// Colons and slashes are legal in a query, and a clock reads better with them.
export function query(params) {
  return `${new URLSearchParams(params)}`.replaceAll('%3A', ':').replaceAll('%2F', '/');
}

export function chartPath(symbol, params) {
  return `/chart/${encodeURIComponent(symbol)}?${query(params)}`;
}

// `to` is null at the newest candle, `spacing` null at the usual zoom.
export function createAddress() {
  let timer = null;
  let next = null;
  return ({ symbol, tf, clock, to, spacing }) => {
    const params = { tf, clock };
    if (to !== null) params.to = iso(to);
    if (spacing !== null) params.spacing = spacing;
    const path = chartPath(symbol, params);
    if (path === next) return; // or a candle that moves would put it off for ever
    next = path;
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (path !== location.pathname + location.search) history.replaceState(null, '', path);
    }, WAIT_MS);
  };
}
