"""Every SQL constant of the store prepares, and none walks a whole table without a reason."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from itertools import product

import apsw
import pytest

import gfil.store
from gfil.store import db as store
from tests.store.model import write

STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
TABLES = {
    *("candle", "yielded", "early", "tick", "symbol", "symbol_clock", "deleted_symbol", "store"),
    *("request", "figure"),
}

# A table of one row, or one that is wanted whole.
SCANNED = {
    ("symbols.LIST", "symbol"): "every symbol is asked for",
    ("db.READ_STATE", "store"): "one row",
    ("db.NEXT_CHANGE", "store"): "one row",
    ("db.RENEW_EPOCH", "store"): "one row",
    ("deletion.SWEEPABLE", "deleted_symbol"): "LIMIT 1",
    ("klines.READ", "symbol"): "a table of the old system, wanted whole; here it is the view",
    ("requests.KEY_IDS", "request"): "once an hour, and the index alone",
}
# Candles of a whole series, whatever their time.
WHOLE_SERIES = {
    "chain.FIRST": "LIMIT 1",
    "chain.LAST": "LIMIT 1",
    "chain.HAS_YIELDED": "EXISTS stops at the first",
    "chain.IS_CONTESTED": "EXISTS stops at the first",
    "checks.ORPHANS_OF_CANDLES": "MIN, symbol after symbol",
    "checks.ORPHANS_OF_YIELDED": "MIN, symbol after symbol",
    "deletion.READ_STORED": "only of clocks of their own, after a deletion",
    "deletion.SWEEP": "rows of a deleted symbol, in batches",
    "deletion.SWEEP_UNTIL": "LIMIT 1",
    "deletion.SWEEP_YIELDED": "rows of a deleted symbol",
    "holdings.NEWEST": "LIMIT 1",
    "klines.READ": "a table of the old system, wanted whole; here it is the view",
}


PLAIN = re.compile(r"\?(?![0-9])")  # a placeholder that is numbered after the last one


def statements() -> Iterator[tuple[str, str]]:
    """Every SQL constant and its name, `module.NAME`."""
    for module in pkgutil.iter_modules(gfil.store.__path__):
        for name, text in vars(importlib.import_module(f"gfil.store.{module.name}")).items():
            if name.isupper() and isinstance(text, str) and STATEMENT.match(text):
                yield f"{module.name}.{name}", text


STATEMENTS = dict(statements())


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    """Two symbols with a few days of minutes, days of a clock of their own, one that gave way."""
    path = tmp_path_factory.mktemp("sql") / "gfil.db"
    store.create(path)
    connection = store.connect(path)
    start = 1_700_006_400
    minutes = [
        ((start + 60 * n, start + 60 * n + 60), (1.0 + n % 7, 9.0, 0.5, 2.0, 1.0))
        for n in range(5000)
    ]
    for symbol in ("EURUSD", "XAUUSD"):
        write(connection, symbol, "M1", minutes)
        day = (start - 7200, start + 79200)
        write(connection, symbol, "D1", [(day, (1.0, 2.0, 1.0, 1.0, 1.0))], "Europe/Athens")
        write(connection, symbol, "H1", [((start, start + 3600), (1.0, 2.0, 1.0, 1.0, 1.0))])
    yield connection
    connection.close()


def plan(connection: apsw.Connection, sql: str) -> list[str]:
    names = set(re.findall(r":([a-z]\w*)", sql))
    numbers = [int(number) for number in re.findall(r"\?(\d+)", sql)]
    bindings = dict.fromkeys(names) or (None,) * (max(numbers, default=0) + len(PLAIN.findall(sql)))
    return [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, bindings)]


def test_constants_are_found() -> None:
    assert len(STATEMENTS) > 40
    assert {"candles.READ_NEWEST", "rollup.DERIVE", "db.READ_STATE"} <= STATEMENTS.keys()


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_walks_a_table_without_a_reason(filled: apsw.Connection, name: str) -> None:
    walked = set()
    for step in plan(filled, STATEMENTS[name]):
        if match := re.match(r"SCAN (\w+)\b", step):
            walked.add(match[1])
    reasons = {table for constant, table in SCANNED if constant == name}
    assert walked & (TABLES | {"opening", "closing"}) == reasons


@pytest.mark.parametrize("name", STATEMENTS)
def test_candles_are_found_by_their_time(filled: apsw.Connection, name: str) -> None:
    found = [
        step
        for step in plan(filled, STATEMENTS[name])
        if re.match(r"(SEARCH|SCAN) (candle|yielded|opening|closing)\b", step)
    ]
    by_series_alone = [step for step in found if "time" not in step]
    assert bool(by_series_alone) == (name in WHOLE_SERIES), found


def test_no_reason_outlives_its_statement() -> None:
    assert {name for name, _ in SCANNED} | WHOLE_SERIES.keys() <= STATEMENTS.keys()


def test_a_full_scan_would_be_seen(filled: apsw.Connection) -> None:
    """The check itself: what must fail does."""
    for table, condition in product(("candle", "yielded"), ("volume > :v", "stretch = :s")):
        steps = plan(filled, f"SELECT time FROM {table} WHERE {condition}")  # noqa: S608
        assert any(step.startswith(f"SCAN {table}") for step in steps)


def test_the_newest_page_is_read_without_sorting(filled: apsw.Connection) -> None:
    """The hot path: the key is the order."""
    for name in ("candles.READ_NEWEST", "candles.READ_OLDEST", "ondemand.READ_RANGE"):
        assert not any("TEMP B-TREE" in step for step in plan(filled, STATEMENTS[name]))
