"""Symbols: their names, clocks and facts."""

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
SAMPLE_ROWS = 500  # so many of a write show all decimals there are
SERIES_PER_SYMBOL = 32  # numbers of timeframes are below this


class BadSymbol(BadParameter):
    """A name that no symbol can have."""

    type = "bad_symbol"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"bad symbol {name[:64]!r}: 1 to 32 of A-Z a-z 0-9 . _ # + -, "
            "at least one letter or digit"
        )


class SymbolCase(Conflict):
    """A new symbol that differs from a known one only in case."""

    type = "symbol_case"

    def __init__(self, name: str, known: str) -> None:
        super().__init__(f"symbol {name!r} differs only in case from the known {known!r}")


class Symbol(NamedTuple):
    """One instrument. `digits` is None until set; `digits_seen` counts what prices have shown."""

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
        """Return the number under which one timeframe's candles are kept."""
        return self.id * SERIES_PER_SYMBOL + timeframe_number

    @property
    def digits_shown(self) -> int:
        """The decimals to draw its prices with."""
        return self.digits_seen if self.digits is None else self.digits


FIND = """
SELECT id, name, clock, description, digits, digits_seen, price, base, quote, change
FROM symbol
WHERE name = :name
"""


def find(db: apsw.Connection, name: str) -> Symbol | None:
    """Return a symbol by its name in any case; a blank in it is read as `+`."""
    row = connection.query_one(db, FIND, {"name": name.replace(" ", "+")})
    return Symbol(*row) if row else None


def read(db: apsw.Connection, name: str) -> Symbol:
    """Return a symbol by its name in any case.

    Raises:
        SymbolUnknown: there is none.
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
    """Return a symbol as it is by now: its clock may have changed since it was read.

    Raises:
        SymbolUnknown: it has been deleted.
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
    """Return every symbol, by name."""
    return [Symbol(*row) for row in connection.query_all(db, LIST)]


def check_name(name: str) -> str:
    """Return the name if a symbol can have it.

    Raises:
        BadSymbol: it cannot.
    """
    if not NAME.fullmatch(name):
        raise BadSymbol(name)
    return name


CREATE = """
INSERT INTO symbol (name, base, quote, change)
VALUES (:name, :base, :quote, 0)
"""


def ensure(db: apsw.Connection, name: str) -> Symbol:
    """Return the symbol of this very name, made if it is new; inside a transaction.

    Raises:
        BadSymbol: no symbol can have the name.
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
    """Count one change, of this symbol; return its number. Once per transaction.

    `spans` are where candles of a timeframe have changed, and with them longer ones, ascending.
    """
    change = connection.next_change(db)
    db.execute(LOG_CHANGE, {"change": change, "id": symbol.id})
    change_log.append(db, change, symbol.series(timeframe.number), spans)
    if not symbol.change:  # it is new: its name may have been another's, whom somebody still shows
        change_log.append_reset(db, change, symbol.series(M1.number))
    return change


def log_reset(db: apsw.Connection, symbol: Symbol) -> int:
    """Count one change after which all of a symbol is to be read anew; return its number."""
    change = log_change(db, symbol)
    change_log.append_reset(db, change, symbol.series(M1.number))
    return change


RECORD_DIGITS = "UPDATE symbol SET digits_seen = :digits WHERE id = :id AND digits_seen < :digits"


def record_digits(db: apsw.Connection, symbol: Symbol, *columns: Sequence[float]) -> None:
    """Remember how many decimals prices have, if they are more than any before."""
    digits = symbol.digits_seen
    distinct = set().union(*(column[:SAMPLE_ROWS] for column in columns))
    while digits < DIGITS_MAX and not all(price == round(price, digits) for price in distinct):
        digits += 1
    if digits > symbol.digits_seen:
        db.execute(RECORD_DIGITS, {"digits": digits, "id": symbol.id})


OWN_CLOCKS = "SELECT clock FROM symbol_clock WHERE symbol_id = :id ORDER BY clock"


def own_clocks(db: apsw.Connection, symbol: Symbol) -> Sequence[Clock]:
    """Return the clocks that the symbol has stored candles of, beyond UTC's."""
    return [
        clocks.parse(name) for (name,) in connection.query_all(db, OWN_CLOCKS, {"id": symbol.id})
    ]


def kept_clocks(db: apsw.Connection, symbol: Symbol) -> Sequence[Clock]:
    """Return the clocks on which H4 and D1 are kept: UTC, the symbol's, those of its candles."""
    known = [clocks.UTC, clocks.parse(symbol.clock), *own_clocks(db, symbol)]
    return [*dict.fromkeys(known)]


KEEP_CLOCK = (
    "INSERT INTO symbol_clock (symbol_id, clock) VALUES (:id, :clock) ON CONFLICT DO NOTHING"
)


def keep_clock(db: apsw.Connection, symbol: Symbol, clock: Clock) -> None:
    """Remember that the symbol has stored candles of a clock's own."""
    db.execute(KEEP_CLOCK, {"id": symbol.id, "clock": clock.name})


DROP_CLOCK = "DELETE FROM symbol_clock WHERE symbol_id = :id AND clock = :clock"


def drop_clock(db: apsw.Connection, symbol: Symbol, clock: Clock) -> None:
    """Forget that the symbol has stored candles of a clock's own: the last of them has gone."""
    db.execute(DROP_CLOCK, {"id": symbol.id, "clock": clock.name})


UPDATE = """
UPDATE symbol
SET name = :name, clock = :clock, description = :description, digits = :digits, price = :price,
    base = :base, quote = :quote
WHERE id = :id
"""


def update(db: apsw.Connection, symbol: Symbol) -> Symbol:
    """Store the facts of a symbol as given, and count the change; inside a transaction.

    Raises:
        BadParameter: a fact is out of range.
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
    """Give a symbol another name; inside a transaction.

    Raises:
        BadSymbol: no symbol can have the name.
        Conflict: another symbol has it, in this or another case.
    """
    other = find(db, check_name(name))
    if other is not None and other.id != symbol.id:
        raise Conflict(f"there is a symbol {other.name!r} already")
    renamed = update(db, symbol._replace(name=name))
    return renamed._replace(change=log_reset(db, renamed))


DELETE = "DELETE FROM symbol WHERE id = :id"
REMEMBER_DELETED = "INSERT INTO deleted_symbol (id) VALUES (:id)"


def delete(db: apsw.Connection, symbol: Symbol) -> int:
    """Take a symbol's name away; inside a transaction. Return the number of the change.

    Its rows stay behind unseen: `deletion.sweep` removes them in small batches.
    """
    db.execute(REMEMBER_DELETED, {"id": symbol.id})
    db.execute(DELETE, {"id": symbol.id})
    connection.renew_epoch(db)
    return connection.next_change(db)
