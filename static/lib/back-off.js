// Growing delays between reconnects.

const DELAYS_MS = [200, 1000, 2000, 4000, 8000];

/** Creates a series of delays that starts again after `reset`. */
export function createBackOff() {
  let failures = 0;
  return {
    /** Returns the next delay. Its random factor spreads the pages that lost the same server. */
    next_ms() {
      const delay_ms = DELAYS_MS[Math.min(failures, DELAYS_MS.length - 1)];
      failures += 1;
      return delay_ms * (0.5 + Math.random());
    },
    reset() {
      failures = 0;
    },
  };
}
