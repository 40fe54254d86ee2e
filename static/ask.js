// One question to the server; what goes wrong is an Error with words for a person.

const TIMEOUT_MS = 20_000; // a connection may be dead without saying so
const FOREIGN = 'Something on the way answered in the place of the server.'; // a hotel's login, say

export class Refused extends Error {
  constructor(status, detail) {
    super(detail || `The server answered ${status}.`);
    this.status = status;
  }
}

// `tag` is the ETag of an answer held already. Returns {body, tag}; body is null where that answer
// still holds.
export async function askForCandles(params, signal, tag = null) {
  const response = await fetch(`/api/v1/candles?${new URLSearchParams(params)}`, {
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    headers: { Accept: 'application/json', ...(tag ? { 'If-None-Match': tag } : {}) },
    cache: 'no-store',
  });
  if (response.status === 304) return { body: null, tag };
  const body = await response.json().catch((error) => {
    if (error instanceof SyntaxError) return null;
    throw error;
  });
  if (!response.ok) throw new Refused(response.status, body?.detail);
  if (!body?.candles) throw new Refused(response.status, FOREIGN);
  return { body, tag: response.headers.get('ETag') };
}

// A page of this server, read anew as a document; it has to have something of `selector`.
export async function askForPage(path, selector) {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(path, { signal, headers: { Accept: 'text/html' } });
  if (response.redirected) throw new Refused(401, 'Log in again to go on.');
  if (!response.ok) throw new Refused(response.status);
  const page = new DOMParser().parseFromString(await response.text(), 'text/html');
  if (!page.querySelector(selector)) throw new Refused(response.status, FOREIGN);
  return page;
}
