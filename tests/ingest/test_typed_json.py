"""Tests of gfil/ingest/typed_json.py: the direct way gives the same results as the general way."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import apsw
import orjson
import pytest

from gfil.clocks import UTC
from gfil.errors import GfilError
from gfil.ingest import importer, typed_json
from gfil.ingest.load.atomic import AtomicWrite
from gfil.ingest.options import Options
from gfil.ingest.parse.columns import CANDLES, TICKS
from gfil.store.engine import connection
from gfil.timeframes import M1

START = 1709251200  # 2024-03-01 00:00
NOW = START + 3600
SEED = 301
TICK = {"symbol": "X", "time_msc": START * 1000, "bid": 1.5, "ask": 1.6, "last": 0, "flags": 6}
CANDLE = {"time": START, "open": 1, "high": 2, "low": 0.5, "close": 1.5, "volume": 7}
ARRAY = [START, 1, 2, 0.5, 1.5, 7]

DIRECT = {
    "one tick": ("ticks", {"ticks": [TICK]}, {}),
    "an array of ticks": ("ticks", [TICK], {}),
    "ticks as arrays": ("ticks", {"symbol": "X", "ticks": [[START, 1.5, 1.6]]}, {}),
    "a tick without a price": ("ticks", {"ticks": [TICK | {"bid": 0, "ask": 0}]}, {}),
    "a tick in the future": ("ticks", {"ticks": [TICK | {"time_msc": (NOW + 400) * 1000}]}, {}),
    "a bad symbol": ("ticks", {"ticks": [TICK, TICK | {"symbol": "a b"}]}, {}),
    "a symbol in another case": ("ticks", {"ticks": [TICK | {"symbol": "known"}]}, {}),
    "a head in another case": ("ticks", {"symbol": "known", "ticks": [[START, 1, 2]]}, {}),
    "no symbol": ("ticks", {"ticks": [[START, 1, 2]]}, {}),
    "an empty symbol": ("ticks", {"symbol": "", "ticks": [[START, 1, 2]]}, {}),
    "a clock": ("ticks", {"clock": "Europe/Athens", "ticks": [TICK]}, {}),
    "an unknown clock": ("ticks", {"clock": "Mars", "ticks": [TICK]}, {}),
    "the clock of the query": ("ticks", {"clock": "Mars", "ticks": [TICK]}, {"clock": UTC}),
    "a refused tick with abort": (
        "ticks",
        {"ticks": [TICK, TICK | {"flags": -1}]},
        {"abort": True},
    ),
    "candles": ("candles", {"symbol": "X", "tf": "M1", "candles": [CANDLE]}, {}),
    "candles as arrays": ("candles", [ARRAY, [START + 60, 1, 2, 0.5, 1.5, 7]], {"symbol": "X"}),
    "two candles in one bucket": ("candles", [ARRAY, [START + 1, 1, 2, 0.5, 1, 8]], {}),
    "a candle against the law": ("candles", [ARRAY, [START + 60, 1, 0.5, 2, 1, 8]], {}),
    "candles without a timeframe": ("candles", {"symbol": "X", "candles": [CANDLE] * 4}, {}),
    "candles 5 minutes apart": (
        "candles",
        [[START + 300 * n, 1, 2, 0.5, 1, 8] for n in range(30)],
        {"symbol": "X", "timeframe": M1},
    ),
    "an unknown timeframe": ("candles", {"symbol": "X", "tf": "X7", "candles": [CANDLE]}, {}),
}
GENERAL = {
    "no JSON": ("ticks", b'{"ticks":[', {}),
    "no rows": ("ticks", {"ticks": []}, {}),
    "a broken value": ("ticks", {"ticks": [TICK, TICK | {"bid": "x"}]}, {}),
    "a null": ("ticks", {"ticks": [TICK | {"bid": None}]}, {}),
    "different keys": ("ticks", {"ticks": [TICK, {"symbol": "X", "time": START, "bid": 1}]}, {}),
    "a symbol after the rows": ("ticks", {"ticks": [[START, 1, 2]], "symbol": "X"}, {}),
    "rows of numbers": ("ticks", {"ticks": [1, 2]}, {}),
    "ticks twice": ("ticks", b'{"ticks":[[1,1,2]],"ticks":[[2,1,2]]}', {"symbol": "X"}),
    "an escape": ("ticks", b'{"ticks":[[1,1,2]],"tick\\u0073":[[2,1,2]]}', {"symbol": "X"}),
    "an array of arrays": ("ticks", [[START, 1.5, 1.6]], {"symbol": "X"}),
    "a byte order mark": ("ticks", b"\xef\xbb\xbf" + orjson.dumps({"ticks": [TICK]}), {}),
    "candles to ticks": ("ticks", {"candles": [CANDLE]}, {}),
    "bare candles to ticks": ("ticks", [CANDLE], {}),
    "ticks to candles": ("candles", {"ticks": [TICK]}, {}),
    "bare ticks to candles": ("candles", [TICK], {}),
    "klines": ("candles", [[START * 1000, "1", "2", "1", "1", "5", 0, "0", 1, "0", "0", "0"]], {}),
    "a timeframe of ticks": ("ticks", {"ticks": [TICK]}, {"timeframe": M1}),
    "columns": ("candles", [ARRAY], {"columns": ("time", "open", "high", "low", "close")}),
    "a format": ("candles", [ARRAY], {"format": "csv"}),
    "a long element": ("ticks", {"ticks": [TICK | {"note": "x" * 70_000}] * 2}, {}),
}


@pytest.fixture
def db(tmp_path: Path) -> apsw.Connection:
    connection.create(tmp_path / "gfil.db")
    db = connection.connect(tmp_path / "gfil.db")
    store(db, importer.prepare(db, [b"time,bid,ask\n5,1,2\n"], Options(symbol="KNOWN"), now=NOW))
    return db


class _Undone(Exception):
    pass


def store(db: apsw.Connection, atomic: AtomicWrite) -> dict[str, Any]:
    with connection.transaction(db):
        return atomic.store(db).as_json()


def store_and_undo(db: apsw.Connection, atomic: AtomicWrite) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    try:
        with connection.transaction(db):
            answer = atomic.store(db).as_json()
            raise _Undone
    except _Undone:
        return answer


def body_of(body: Any) -> bytes:
    return body if isinstance(body, bytes) else orjson.dumps(body)


def run_direct(db: apsw.Connection, data: bytes, options: Options) -> Any:
    """The answer or the error of the direct way; None where it leaves the body to the general."""
    try:
        atomic = typed_json.prepare(db, data, options, now=NOW)
        return atomic and store_and_undo(db, atomic)
    except GfilError as error:
        return type(error), error.parts, error.extra


def run_general(db: apsw.Connection, data: bytes, options: Options) -> Any:
    try:
        return store_and_undo(db, importer.prepare(db, [data], options, now=NOW))
    except GfilError as error:
        return type(error), error.parts, error.extra


@pytest.mark.parametrize("case", DIRECT)
def test_regular_body_gives_the_result_of_the_general_way(db: apsw.Connection, case: str) -> None:
    kind, body, more = DIRECT[case]
    options = Options(kind=kind, **more)  # type: ignore[arg-type]
    result = run_direct(db, body_of(body), options)
    assert result is not None
    assert result == run_general(db, body_of(body), options)


@pytest.mark.parametrize("case", GENERAL)
def test_unusual_body_is_left_to_the_general_way(db: apsw.Connection, case: str) -> None:
    kind, body, more = GENERAL[case]
    assert run_direct(db, body_of(body), Options(kind=kind, **more)) is None  # type: ignore[arg-type]


def test_large_body_is_left_to_the_general_way() -> None:
    data = orjson.dumps({"ticks": [TICK] * 20_000})
    assert len(data) > typed_json.BODY_BYTES_MAX
    assert typed_json.parse(data, TICKS) is None
    assert typed_json.parse(orjson.dumps({"ticks": [TICK] * 5_000}), TICKS) is not None


VALUES = (0, 1.5, -1, 1e300, START, "x", "1.5", "", None, True, [], {}, 10**30, "2024-03-01")


def mutate(rows: list[Any], random_: random.Random) -> list[Any]:
    """Rows with a few cells changed, removed or added."""
    rows = [copy.copy(row) for row in rows]
    for _ in range(random_.randrange(4)):
        row = random_.choice(rows)
        if isinstance(row, dict):
            key = random_.choice([*row, "note", "open"])
            if random_.random() < 0.2:
                row.pop(key, None)
            else:
                row[key] = random_.choice(VALUES)
        elif row:
            row[random_.randrange(len(row))] = random_.choice(VALUES)
    return rows


def test_random_bodies_give_the_result_of_the_general_way(db: apsw.Connection) -> None:
    random_ = random.Random(SEED)
    taken = 0
    for _ in range(1500):
        kind = random_.choice((TICKS, CANDLES))
        row = random_.choice([TICK] if kind == TICKS else [CANDLE, ARRAY])
        rows = [copy.copy(row) for _ in range(random_.randrange(1, 5))]
        for number, each in enumerate(rows):
            if isinstance(each, dict):
                each["time_msc" if kind == TICKS else "time"] += 60 * number
            else:
                each[0] += 60 * number
        rows = mutate(rows, random_)
        head = {"symbol": "X", "tf": "M1"} if random_.random() < 0.8 else {}
        body: Any = rows if random_.random() < 0.3 else {**head, kind.name: rows}
        options = Options(
            symbol=random_.choice((None, "X")),
            timeframe=M1 if kind == CANDLES and random_.random() < 0.8 else None,
            kind=kind.name,
            abort=random_.random() < 0.2,
            fill=random_.random() < 0.2,
        )
        data = json.dumps(body).encode()
        result = run_direct(db, data, options)
        if result is not None:
            taken += 1
            assert result == run_general(db, data, options), data
    assert taken > 200
