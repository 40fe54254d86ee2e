// The overview page: live prices of every symbol.

import { byId } from '../lib/dom.js';
import { createStreamStatus } from '../lib/stream-status.js';
import { createOverviewPrices } from './overview-prices.js';
import './page.js';

/** @type {HTMLTableElement | null} */
const table = document.querySelector('.overview'); // absent while the database is empty
if (table) {
  createOverviewPrices(table, byId('symbol-count'), createStreamStatus(byId('stream-status')));
}
