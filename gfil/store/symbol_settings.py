"""Update the settings of a symbol and derive the candles that depend on them again."""

from collections.abc import Mapping
from typing import Any

import apsw

from gfil import clocks
from gfil.clocks import TIME_MAX, Clock
from gfil.store import symbols
from gfil.store.candles import derive, tick_rollup
from gfil.store.symbols import Symbol

REPRICE_BATCH_MINUTES = 10_000


def update_settings(db: apsw.Connection, symbol: Symbol, settings: Mapping[str, Any]) -> Symbol:
    """Set fields of a symbol by name and derive the dependent candles; inside a transaction.

    Raises:
        BadParameter: a value is out of range, or the clock is unknown.
    """
    plain = {name: value for name, value in settings.items() if name not in ("clock", "price")}
    clock = clocks.parse(settings.get("clock", symbol.clock))
    if symbol != symbol._replace(**plain):
        symbol = symbols.update(db, symbol._replace(**plain))
    return set_clock(db, set_price(db, symbol, settings.get("price", symbol.price)), clock)


def set_clock(db: apsw.Connection, symbol: Symbol, clock: Clock) -> Symbol:
    """Set the clock of a symbol's charts and materialise H4 and D1 on it; inside a transaction."""
    before = clocks.parse(symbol.clock)
    if clock == before:
        return symbol
    changed = symbols.update(db, symbol._replace(clock=clock.name))
    derive.derive_clock(db, changed, clock)
    derive.drop_derived_clock(db, changed, before)
    return changed


def set_price(db: apsw.Connection, symbol: Symbol, price: str | None) -> Symbol:
    """Set the price of a tick that counts and derive all M1 from ticks; inside a transaction.

    None means `last`, or `bid` if `last` is 0.

    Raises:
        BadParameter: the price is unknown.
    """
    if price == symbol.price:
        return symbol
    changed = symbols.update(db, symbol._replace(price=price))
    minutes = tick_rollup.list_minutes(db, changed, 0, TIME_MAX * 1000)
    for at in range(0, len(minutes), REPRICE_BATCH_MINUTES):
        tick_rollup.derive_minutes(
            db, changed, minutes[at : at + REPRICE_BATCH_MINUTES], shrunk=True
        )
    return changed._replace(change=symbols.log_reset(db, changed))
