"""Change a symbol's settings and derive again the candles that depend on them."""

from collections.abc import Mapping
from typing import Any

import apsw

from gfil import clocks
from gfil.clocks import TIME_MAX, Clock
from gfil.store import symbols
from gfil.store.candles import derive, ticks
from gfil.store.symbols import Symbol

REPRICED_MINUTES = 10_000  # of ticks that are derived at once


def update_settings(db: apsw.Connection, symbol: Symbol, facts: Mapping[str, Any]) -> Symbol:
    """Set facts of a symbol by the names of its fields, and derive again what depends on them.

    Inside a transaction.

    Raises:
        BadParameter: a fact is out of range, the clock is none.
    """
    plain = {fact: value for fact, value in facts.items() if fact not in ("clock", "price")}
    clock = clocks.parse(facts.get("clock", symbol.clock))
    if symbol != symbol._replace(**plain):
        symbol = symbols.update(db, symbol._replace(**plain))
    return set_clock(db, set_price(db, symbol, facts.get("price", symbol.price)), clock)


def set_clock(db: apsw.Connection, symbol: Symbol, clock: Clock) -> Symbol:
    """Draw a symbol on another clock and keep H4 and D1 on it; inside a transaction."""
    before = clocks.parse(symbol.clock)
    if clock == before:
        return symbol
    changed = symbols.update(db, symbol._replace(clock=clock.name))
    derive.derive_clock(db, changed, clock)
    derive.drop_derived_clock(db, changed, before)
    return changed


def set_price(db: apsw.Connection, symbol: Symbol, price: str | None) -> Symbol:
    """Say which price of a tick counts, and derive all M1 of ticks again; inside a transaction.

    None is `last` where it is not 0, else `bid`.

    Raises:
        BadParameter: it is no such price.
    """
    if price == symbol.price:
        return symbol
    changed = symbols.update(db, symbol._replace(price=price))
    minutes = ticks.list_minutes(db, changed, 0, TIME_MAX * 1000)
    for at in range(0, len(minutes), REPRICED_MINUTES):
        ticks.derive_minutes(db, changed, minutes[at : at + REPRICED_MINUTES], shrunk=True)
    return changed._replace(change=symbols.log_reset(db, changed))
