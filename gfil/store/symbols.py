"""Symbols: names, settings, clocks; log their changes, rename and delete them."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import apsw

from gfil import clocks
from gfil.clocks import Bucket, Clock
from gfil.errors import BadParameter, Conflict, SymbolUnknown
from gfil.store import change_log
from gfil.store.engine import connection
from gfil.timeframes import M1, Timeframe

NAME = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9._#+-]{1,32}")
DIGITS_MAX = 8
DESCRIPTION_LENGTH_MAX = 200
CURRENCY = re.compile(r"[A-Za-z0-9]{0,16}")
PRICES = ("bid", "ask", "mid", "last")
DIGITS_SAMPLE_ROWS = 500  # rows of a write that `record_digits` looks at
SERIES_PER_SYMBOL = 32  # numbers of timeframes are below this


class BadSymbol(BadParameter):
    """An invalid symbol name."""

    type = "bad_symbol"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"bad symbol {name[:64]!r}: 1 to 32 of A-Z a-z 0-9 . _ # + -, "
            "at least one letter or digit"
        )


class SymbolCase(Conflict):
    """A new symbol name that differs from a known one only in case."""

    type = "symbol_case"

    def __init__(self, name: str, known: str) -> None:
        super().__init__(f"symbol {name!r} differs only in case from the known {known!r}")


class Symbol(NamedTuple):
    """An instrument. `digits` is None until set; `digits_seen` are the most decimals of a price."""

    id: int
    name: str
    clock: str
    description: str
    digits: int | None
    digits_seen: int
    price: str | None
    base: str
    quote: str
    change: int

    def series(self, timeframe_number: int) -> int:
        """Return the series number of a timeframe's candles."""
        return self.id * SERIES_PER_SYMBOL + timeframe_number

    @property
    def digits_shown(self) -> int:
        """Decimals for displayed prices."""
        return self.digits_seen if self.digits is None else self.digits


FIND = """
SELECT id, name, clock, description, digits, digits_seen, price, base, quote, change
FROM symbol
WHERE name = :name
"""


def find(db: apsw.Connection, name: str) -> Symbol | None:
    """Return a symbol by its name in any case, or None; a blank in the name means `+`."""
    row = connection.query_one(db, FIND, {"name": name.replace(" ", "+")})
    return Symbol(*row) if row else None


def read(db: apsw.Connection, name: str) -> Symbol:
    """Return a symbol by its name in any case.

    Raises:
        SymbolUnknown: no symbol has this name.
    """
    symbol = find(db, name)
    if symbol is None:
        raise SymbolUnknown(name)
    return symbol


RELOAD = """
SELECT id, name, clock, description, digits, digits_seen, price, base, quote, change
FROM symbol
WHERE id = :id
"""


def reload(db: apsw.Connection, symbol: Symbol) -> Symbol:
    """Read a symbol again by its id: its settings may have changed since.

    Raises:
        SymbolUnknown: the symbol has been deleted.
    """
    row = connection.query_one(db, RELOAD, {"id": symbol.id})
    if row is None:
        raise SymbolUnknown(symbol.name)
    return Symbol(*row)


LIST = """
SELECT id, name, clock, description, digits, digits_seen, price, base, quote, change
FROM symbol
ORDER BY name
"""


def list_symbols(db: apsw.Connection) -> Sequence[Symbol]:
    """Return all symbols, ordered by name."""
    return [Symbol(*row) for row in connection.query_all(db, LIST)]


def check_name(name: str) -> str:
    """Return the name if it is valid.

    Raises:
        BadSymbol: the name is invalid.
    """
    if not NAME.fullmatch(name):
        raise BadSymbol(name)
    return name


CREATE = """
INSERT INTO symbol (name, base, quote, change)
VALUES (:name, :base, :quote, 0)
"""


def ensure(db: apsw.Connection, name: str) -> Symbol:
    """Return the symbol of exactly this name, creating it if new; inside a transaction.

    Raises:
        BadSymbol: the name is invalid.
        SymbolCase: a known symbol differs from it only in case.
    """
    symbol = find(db, check_name(name))
    if symbol is None:
        base, quote = _guess_currencies(name)
        db.execute(CREATE, {"name": name, "base": base, "quote": quote})
        symbol = read(db, name)
    if symbol.name != name:
        raise SymbolCase(name, symbol.name)
    return symbol


_PAIR = re.compile(r"([A-Z0-9]{2,10})[_-]([A-Z0-9]{2,10})|([A-Z]{3})([A-Z]{3})(?:[._#+-].*)?")


def _guess_currencies(name: str) -> tuple[str, str]:
    match = _PAIR.fullmatch(name)
    return (match[1] or match[3], match[2] or match[4]) if match else ("", "")


LOG_CHANGE = "UPDATE symbol SET change = :change WHERE id = :id"


def log_change(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe = M1,
    spans: Sequence[Bucket] = (),
) -> int:
    """Log one change of a symbol; return its number. Once per transaction.

    `spans` are the changed spans of the timeframe, ascending; coarser candles changed too.
    """
    change = connection.next_change(db)
    db.execute(LOG_CHANGE, {"change": change, "id": symbol.id})
    change_log.append(db, change, symbol.series(timeframe.number), spans)
    if not symbol.change:  # new: subscribers may still show a deleted symbol of the same name
        change_log.append_reset(db, change, symbol.series(M1.number))
    return change


def log_reset(db: apsw.Connection, symbol: Symbol) -> int:
    """Log a reset: subscribers read all candles of the symbol again. Return the change number."""
    change = log_change(db, symbol)
    change_log.append_reset(db, change, symbol.series(M1.number))
    return change


RECORD_DIGITS = """
UPDATE symbol
SET digits_seen = :digits
WHERE id = :id AND digits_seen < :digits
"""


def record_digits(db: apsw.Connection, symbol: Symbol, *columns: Sequence[float]) -> None:
    """Raise `digits_seen` if these prices have more decimals; inside a transaction."""
    digits = symbol.digits_seen
    distinct = set().union(*(column[:DIGITS_SAMPLE_ROWS] for column in columns))
    while digits < DIGITS_MAX and not all(price == round(price, digits) for price in distinct):
        digits += 1
    if digits > symbol.digits_seen:
        db.execute(RECORD_DIGITS, {"digits": digits, "id": symbol.id})


STORED_CLOCKS = """
SELECT clock
FROM symbol_clock
WHERE symbol_id = :id
ORDER BY clock
"""


def stored_clocks(db: apsw.Connection, symbol: Symbol) -> Sequence[Clock]:
    """Return the clocks, other than UTC, on which a symbol is recorded to have stored candles."""
    return [
        clocks.parse(name) for (name,) in connection.query_all(db, STORED_CLOCKS, {"id": symbol.id})
    ]


def materialised_clocks(db: apsw.Connection, symbol: Symbol) -> Sequence[Clock]:
    """Return the clocks on which H4 and D1 are materialised: UTC, the symbol's, recorded ones."""
    known = [clocks.UTC, clocks.parse(symbol.clock), *stored_clocks(db, symbol)]
    return [*dict.fromkeys(known)]


ADD_STORED_CLOCK = """
INSERT INTO symbol_clock (symbol_id, clock)
VALUES (:id, :clock)
ON CONFLICT DO NOTHING
"""


def add_stored_clock(db: apsw.Connection, symbol: Symbol, clock: Clock) -> None:
    """Record a clock that the symbol has stored candles on; inside a transaction."""
    db.execute(ADD_STORED_CLOCK, {"id": symbol.id, "clock": clock.name})


REMOVE_STORED_CLOCK = "DELETE FROM symbol_clock WHERE symbol_id = :id AND clock = :clock"


def remove_stored_clock(db: apsw.Connection, symbol: Symbol, clock: Clock) -> None:
    """Remove a recorded clock that has no stored candles any more; inside a transaction."""
    db.execute(REMOVE_STORED_CLOCK, {"id": symbol.id, "clock": clock.name})


UPDATE = """
UPDATE symbol
SET name = :name, clock = :clock, description = :description, digits = :digits, price = :price,
    base = :base, quote = :quote
WHERE id = :id
"""


def update(db: apsw.Connection, symbol: Symbol) -> Symbol:
    """Store the fields of a symbol and log the change; inside a transaction.

    Raises:
        BadParameter: a value is out of range.
    """
    if symbol.digits is not None and not 0 <= symbol.digits <= DIGITS_MAX:
        raise BadParameter(f"digits must be 0 to {DIGITS_MAX}, not {symbol.digits}")
    if symbol.price is not None and symbol.price not in PRICES:
        raise BadParameter(f"price must be one of {' '.join(PRICES)}, not {symbol.price!r}")
    if len(symbol.description) > DESCRIPTION_LENGTH_MAX or not symbol.description.isprintable():
        raise BadParameter(
            f"a description has at most {DESCRIPTION_LENGTH_MAX} characters, all printable"
        )
    for currency in (symbol.base, symbol.quote):
        if not CURRENCY.fullmatch(currency):
            raise BadParameter(f"bad currency {currency[:32]!r}: up to 16 letters and digits")
    db.execute(UPDATE, symbol._asdict())
    return symbol._replace(change=log_change(db, symbol))


def rename(db: apsw.Connection, symbol: Symbol, name: str) -> Symbol:
    """Rename a symbol; inside a transaction.

    Raises:
        BadSymbol: the name is invalid.
        Conflict: another symbol has the name, in this or another case.
    """
    other = find(db, check_name(name))
    if other is not None and other.id != symbol.id:
        raise Conflict(f"a symbol {other.name!r} exists already")
    renamed = update(db, symbol._replace(name=name))
    return renamed._replace(change=log_reset(db, renamed))


DELETE = "DELETE FROM symbol WHERE id = :id"
RECORD_DELETED = "INSERT INTO deleted_symbol (id) VALUES (:id)"


def delete(db: apsw.Connection, symbol: Symbol) -> int:
    """Delete a symbol and return the change number; inside a transaction.

    Its rows become unreachable immediately: `removal.sweep` removes them later, in small batches.
    """
    db.execute(RECORD_DELETED, {"id": symbol.id})
    db.execute(DELETE, {"id": symbol.id})
    connection.renew_epoch(db)
    return connection.next_change(db)
