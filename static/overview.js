// The overview: its prices move.

import { createMark } from './mark.js';
import './plain.js';
import { createQuotes } from './quotes.js';

const byId = (id) => document.getElementById(id);
const table = document.querySelector('.quotes'); // none where nothing is stored
if (table) createQuotes(table, byId('count'), createMark(byId('live')));
