"""Every SQL constant of the store prepares, and no statement scans a table without a reason."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from itertools import product

import apsw
import pytest

import gfil.store
from gfil.store.engine import connection
from tests.store.model import write

STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
# Tables of one row, or tables that are read whole.
SCANNED = {
    ("migrated_files.LIST", "migrated_file"): "every file is asked for",
    ("api_keys.LIST", "api_key"): "every key is asked for",
    ("symbols.LIST", "symbol"): "every symbol is asked for",
    ("connection.READ_STATE", "store"): "one row",
    ("connection.NEXT_CHANGE", "store"): "one row",
    ("connection.RENEW_EPOCH", "store"): "one row",
    ("sweep.READ_DELETED_SYMBOL", "deleted_symbol"): "LIMIT 1",
    (
        "legacy_kline_db.READ",
        "symbol",
    ): "a table of the old system, wanted whole; here it is the view",
    ("idempotency.LIST_KEY_IDS", "idempotency_record"): "once an hour, and the index alone",
}
# Statements that read candles of a series without a condition on time.
WHOLE_SERIES = {
    "extent.READ_FIRST_TIME": "LIMIT 1",
    "extent.READ_LAST_ROW": "LIMIT 1",
    "derive.HAS_SUPERSEDED": "EXISTS stops at the first",
    "derive.IS_CONTESTED": "EXISTS stops at the first",
    "integrity.ORPHANS_OF_CANDLES": "MIN, symbol after symbol",
    "integrity.ORPHANS_OF_SUPERSEDED": "MIN, symbol after symbol",
    "delete_range.READ_STORED": "only of clocks of their own, after a deletion",
    "sweep.SWEEP": "rows of a deleted symbol, in batches",
    "sweep.SWEEP_UNTIL": "LIMIT 1",
    "sweep.SWEEP_SUPERSEDED": "rows of a deleted symbol",
    "inventory.READ_NEWEST_CLOSE": "LIMIT 1",
    "legacy_kline_db.READ": "a table of the old system, wanted whole; here it is the view",
}


PLAIN = re.compile(r"\?(?![0-9])")  # a placeholder that is numbered after the last one


def statements() -> Iterator[tuple[str, str]]:
    """Yield every SQL constant with its name, `module.NAME`."""
    for module in pkgutil.walk_packages(gfil.store.__path__, "gfil.store."):
        for name, text in vars(importlib.import_module(module.name)).items():
            if name.isupper() and isinstance(text, str) and STATEMENT.match(text):
                yield f"{module.name.rpartition('.')[2]}.{name}", text


STATEMENTS = dict(statements())


def table_names(db: apsw.Connection) -> set[str]:
    rows = connection.query_all(db, "SELECT name FROM sqlite_schema WHERE type = 'table'")
    return {name for (name,) in rows}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    """Two symbols with days of minutes, a day on another clock, and a superseded candle."""
    path = tmp_path_factory.mktemp("sql") / "gfil.db"
    connection.create(path)
    db = connection.connect(path)
    start = 1_700_006_400
    minutes = [
        ((start + 60 * n, start + 60 * n + 60), (1.0 + n % 7, 9.0, 0.5, 2.0, 1.0))
        for n in range(5000)
    ]
    for symbol in ("EURUSD", "XAUUSD"):
        write(db, symbol, "M1", minutes)
        day = (start - 7200, start + 79200)
        write(db, symbol, "D1", [(day, (1.0, 2.0, 1.0, 1.0, 1.0))], "Europe/Athens")
        write(db, symbol, "H1", [((start, start + 3600), (1.0, 2.0, 1.0, 1.0, 1.0))])
    yield db
    db.close()


def plan(connection: apsw.Connection, sql: str) -> list[str]:
    names = set(re.findall(r":([a-z]\w*)", sql))
    numbers = [int(number) for number in re.findall(r"\?(\d+)", sql)]
    bindings = dict.fromkeys(names) or (None,) * (max(numbers, default=0) + len(PLAIN.findall(sql)))
    return [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, bindings)]


def test_sql_constants_are_found() -> None:
    assert len(STATEMENTS) > 40
    assert {"read.READ_NEWEST", "rollup.DERIVE", "connection.READ_STATE"} <= STATEMENTS.keys()


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_scans_a_table_without_reason(filled: apsw.Connection, name: str) -> None:
    walked = set()
    for step in plan(filled, STATEMENTS[name]):
        if match := re.match(r"SCAN (\w+)\b", step):
            walked.add(match[1])
    reasons = {table for constant, table in SCANNED if constant == name}
    assert walked & (table_names(filled) | {"opening", "closing"}) == reasons


@pytest.mark.parametrize("name", STATEMENTS)
def test_candles_are_searched_by_time(filled: apsw.Connection, name: str) -> None:
    found = [
        step
        for step in plan(filled, STATEMENTS[name])
        if re.match(r"(SEARCH|SCAN) (candle|superseded|opening|closing)\b", step)
    ]
    by_series_alone = [step for step in found if "time" not in step]
    assert bool(by_series_alone) == (name in WHOLE_SERIES), found


def test_every_listed_exception_has_a_statement() -> None:
    assert {name for name, _ in SCANNED} | WHOLE_SERIES.keys() <= STATEMENTS.keys()


def test_full_scan_is_detected(filled: apsw.Connection) -> None:
    """The check itself works."""
    for table, condition in product(("candle", "superseded"), ("volume > :v", "extra_s = :s")):
        steps = plan(filled, f"SELECT time FROM {table} WHERE {condition}")  # noqa: S608
        assert any(step.startswith(f"SCAN {table}") for step in steps)


def test_newest_page_is_read_without_sort(filled: apsw.Connection) -> None:
    """The hot path: the primary key has the order of the page."""
    for name in ("read.READ_NEWEST", "read.READ_OLDEST", "rollup_on_demand.READ_RANGE"):
        assert not any("TEMP B-TREE" in step for step in plan(filled, STATEMENTS[name]))
