"""Database files and connections: create, refuse, configure, transactions, snapshots."""

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from gfil.config import ROOT
from gfil.errors import Busy, DatabaseError, ForeignDatabase, NoDatabase
from gfil.store import symbols
from gfil.store.engine import connection, upgrade
from tests.store.model import read, write

MINUTE = [((1_700_006_400, 1_700_006_460), (1.1, 1.3, 1.0, 1.2, 5.0))]
CREATE = (
    "import sys; from pathlib import Path; from gfil.store.engine import connection; "
    "connection.create(Path(sys.argv[1]))"
)
HOLD = """
import sys
from pathlib import Path
from gfil.store.engine import connection
db = connection.connect(Path(sys.argv[1]))
with connection.transaction(db):
    print("held", flush=True)
    sys.stdin.read()
"""


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def schema(path: Path) -> list[tuple[str, str, str | None]]:
    db = connection.connect(path, readonly=True)
    try:
        return connection.query_all(db, "SELECT type, name, sql FROM sqlite_schema ORDER BY name")
    finally:
        db.close()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_four_processes_create_database_at_once(tmp_path: Path, db_path: Path) -> None:
    """UPGRADE-ATOMIC: the first process creates it, the others open it."""
    path = tmp_path / "new" / "folder" / "gfil.db"
    started = [python(CREATE, path) for _ in range(4)]
    ended = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 4, ended
    assert schema(path) == schema(db_path)
    db = connection.connect(path, readonly=True)
    assert connection.query_all(db, "SELECT id, change FROM store") == [(1, 0)]
    assert db.pragma("integrity_check") == "ok"
    db.close()


def test_create_of_existing_database_changes_nothing(db: apsw.Connection, db_path: Path) -> None:
    write(db, "EURUSD", "M1", MINUTE)
    before = connection.read_state(db)
    version = db.pragma("data_version")
    connection.create(db_path)
    assert connection.read_state(db) == before
    assert db.pragma("data_version") == version
    assert read(db, "EURUSD", "M1").candles == [(1_700_006_400, 1.1, 1.3, 1.0, 1.2, 5.0)]


def test_epoch_differs_for_every_database(tmp_path: Path, db: apsw.Connection) -> None:
    connection.create(tmp_path / "other.db")
    other = connection.connect(tmp_path / "other.db")
    assert connection.read_state(other)[0] != connection.read_state(db)[0]
    before = connection.read_state(db)
    connection.renew_epoch(db)
    epoch, change = connection.read_state(db)
    assert epoch != before[0]
    assert change == before[1]
    other.close()


def test_file_has_application_id_and_schema_version(db: apsw.Connection) -> None:
    assert db.pragma("application_id") == int.from_bytes(b"GFIL", "big")
    assert db.pragma("user_version") == upgrade.SCHEMA_VERSION
    assert db.pragma("auto_vacuum") == 2
    assert db.pragma("encoding") == "UTF-8"


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("mmap_size", 0),
        ("journal_size_limit", 8 * 1024 * 1024),
        ("foreign_keys", 1),
        ("trusted_schema", 0),
        ("busy_timeout", 5000),
        ("temp_store", 2),
    ],
)
def test_writer_pragmas(db: apsw.Connection, pragma: str, value: object) -> None:
    assert db.pragma(pragma) == value


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("mmap_size", 0), ("trusted_schema", 0), ("busy_timeout", 2000)],
)
def test_reader_pragmas(db_path: Path, pragma: str, value: object) -> None:
    db = connection.connect(db_path, readonly=True)
    assert db.pragma(pragma) == value
    db.close()


def test_double_quoted_word_is_never_a_string(db: apsw.Connection) -> None:
    with pytest.raises(apsw.SQLError, match="no such column"):
        db.execute('SELECT "hello"')


def test_every_table_is_strict(db: apsw.Connection) -> None:
    tables = connection.query_all(
        db, "SELECT name, strict FROM pragma_table_list WHERE type = 'table'"
    )
    assert {name for name, strict in tables if not strict} <= {
        "sqlite_schema", "sqlite_temp_schema", "sqlite_sequence"
    }  # fmt: skip


def test_reader_cannot_write(db_path: Path) -> None:
    db = connection.connect(db_path, readonly=True)
    with pytest.raises(DatabaseError):
        write(db, "EURUSD", "M1", MINUTE)
    db.close()


def test_missing_file_is_refused_and_not_created(tmp_path: Path) -> None:
    for readonly in (True, False):
        with pytest.raises(NoDatabase) as refused:
            connection.connect(tmp_path / "none.db", readonly=readonly)
        assert refused.value.detail.startswith(f"no database at {tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []


def make_foreign(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE song (title TEXT); INSERT INTO song VALUES ('Hey')").fetchall()
    connection.close()


def make_newer(path: Path) -> None:
    connection.create(path)
    db = apsw.Connection(str(path))
    db.pragma("user_version", upgrade.SCHEMA_VERSION + 1)
    db.pragma("journal_mode", "delete")  # so that nothing is left in a WAL
    db.close()


def make_text(path: Path) -> None:
    path.write_text("time,open,high,low,close,volume\n" * 500)


FOREIGN = [
    (make_foreign, "not one of GFIL's"),
    (make_newer, "newer than this program's"),
    (make_text, "not an SQLite database"),
]


@pytest.mark.parametrize(("make", "reason"), FOREIGN)
@pytest.mark.parametrize(
    "use",
    [
        connection.create,
        connection.connect,
        lambda path: connection.connect(path, readonly=True),
    ],
    ids=["create", "connect", "read"],
)
def test_foreign_or_newer_file_is_refused_unchanged(
    tmp_path: Path, make: Callable[[Path], None], reason: str, use: Callable[[Path], None]
) -> None:
    path = tmp_path / "gfil.db"
    make(path)
    before = digest(path)
    with pytest.raises(ForeignDatabase, match=reason):
        use(path)
    assert digest(path) == before
    assert [found.name for found in tmp_path.iterdir()] == ["gfil.db"]


def test_folder_is_refused_as_database(tmp_path: Path) -> None:
    for use in (connection.create, connection.connect):
        with pytest.raises(DatabaseError):
            use(tmp_path)


def test_failed_transaction_changes_nothing(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", MINUTE)
    before = connection.read_state(db)

    def fail_halfway() -> None:
        with connection.transaction(db):
            connection.next_change(db)
            db.execute("DELETE FROM candle")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_halfway()
    assert not db.in_transaction
    assert connection.read_state(db) == before
    assert len(read(db, "EURUSD", "D1").candles) == 1


def test_failed_statement_leaves_no_transaction_open(db: apsw.Connection) -> None:
    with pytest.raises(apsw.ConstraintError), connection.transaction(db):
        db.execute("INSERT INTO store (id, epoch, change) VALUES (2, '', 0)")
    assert not db.in_transaction
    with connection.transaction(db):
        connection.next_change(db)
    assert connection.read_state(db)[1] == 1


def test_write_is_busy_while_another_process_holds_the_lock(db: apsw.Connection) -> None:
    holder = python(HOLD, db.filename)
    assert holder.stdout.readline() == "held\n"
    waiting = threading.Timer(0.2, holder.stdin.close)
    try:
        db.set_busy_timeout(50)
        with pytest.raises(Busy) as busy:
            write(db, "EURUSD", "M1", MINUTE)
        assert (busy.value.status, busy.value.retry_after_s) == (503, 1)
        assert not db.in_transaction
        reader = connection.connect(Path(db.filename), readonly=True)
        assert connection.read_state(reader)[1] == 0  # READS-LIVE
        reader.close()
        db.set_busy_timeout(30_000)
        waiting.start()
        assert write(db, "EURUSD", "M1", MINUTE).change == 1
    finally:
        waiting.cancel()
        holder.kill()
        holder.wait(10)
        for pipe in (holder.stdin, holder.stdout, holder.stderr):
            pipe.close()


def test_snapshot_sees_one_state_during_writes(db: apsw.Connection, db_path: Path) -> None:
    write(db, "EURUSD", "M1", MINUTE)
    reader = connection.connect(db_path, readonly=True)
    later = [((1_700_006_460, 1_700_006_520), (1.2, 1.4, 1.2, 1.4, 1.0))]
    with connection.snapshot(reader):
        before = connection.read_state(reader), read(reader, "EURUSD", "D1").candles
        write(db, "EURUSD", "M1", later)
        assert (connection.read_state(reader), read(reader, "EURUSD", "D1").candles) == before
    assert connection.read_state(reader) != before[0]
    assert read(reader, "EURUSD", "D1").candles == [(1_699_920_000 + 86400, 1.1, 1.4, 1.0, 1.4, 6)]
    reader.close()


def test_snapshots_are_consistent_while_a_writer_runs(db_path: Path) -> None:
    """A reader sees one commit: the volume of the day is the sum of its minutes."""
    stop = threading.Event()

    def keep_writing() -> None:
        db = connection.connect(db_path)
        for number in range(10_000):
            if stop.is_set():
                break
            start = 1_700_006_400 + 60 * (number % 1000)
            volume = float(1 + number // 1000)
            write(db, "EURUSD", "M1", [((start, start + 60), (1.0, 1.0, 1.0, 1.0, volume))])
        db.close()

    setup = connection.connect(db_path)
    write(setup, "EURUSD", "M1", MINUTE)
    setup.close()
    writer = threading.Thread(target=keep_writing)
    writer.start()
    reader = connection.connect(db_path, readonly=True)
    try:
        changes: set[int] = set()
        deadline = time.monotonic() + 20
        while len(changes) < 30 and time.monotonic() < deadline:
            with connection.snapshot(reader):
                minutes = read(reader, "EURUSD", "M1").candles
                days = read(reader, "EURUSD", "D1").candles
                changes.add(connection.read_state(reader)[1])
            assert sum(day[5] for day in days) == sum(minute[5] for minute in minutes)
    finally:
        stop.set()
        writer.join()
        reader.close()
    assert len(changes) == 30


def test_view_kline_1m_has_shape_of_legacy_table(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", MINUTE)
    write(db, "XAUUSD", "H1", [((1_700_006_400, 1_700_010_000), (1.0, 1.0, 1.0, 1.0, 0.0))])
    write(db, "XAUUSD", "M1", [((1_700_010_000, 1_700_010_060), (7.0, 8.0, 6.0, 7.5, 2.0))])
    cursor = db.execute("SELECT * FROM kline_1m ORDER BY symbol, ts")
    names = [name for name, *_ in cursor.get_description()]
    assert names == ["symbol", "ts", "open", "high", "low", "close", "volume"]
    assert cursor.fetchall() == [
        ("EURUSD", 1_700_006_400, 1.1, 1.3, 1.0, 1.2, 5.0),
        ("XAUUSD", 1_700_010_000, 7.0, 8.0, 6.0, 7.5, 2.0),
    ]


@pytest.mark.parametrize(
    "values",
    [
        "0, 0, 2.0, 1.5, 1.0, 1.2, 0.0",  # open above high
        "0, 0, 1.2, 1.5, 1.3, 1.4, 0.0",  # open below low
        "0, 0, 1.2, 1.5, 1.0, 1.6, 0.0",  # close above high
        "0, 0, 1.2, 1.5, 1.3, 1.1, 0.0",  # close below low
        "0, 0, 1.2, 1.5, 1.0, 1.2, -1.0",
        "0, 0, 1.2, 1.5, 1.0, 1.2, 9e999",
        "0, 0, 1.2, 9e999, 1.0, 1.2, 0.0",
        "0, 0, 1.2, 1.5, -9e999, 1.2, 0.0",
        "0, 0, 1e12, 1e12, 1e12, 1e12, 0.0",
        "0, 0, NULL, 1.5, 1.0, 1.2, 0.0",
        "0, 0, 1.2, 1.5, 1.0, NULL, 0.0",
        "-3000000000, 0, 1.2, 1.5, 1.0, 1.2, 0.0",
        "1700006400000, 0, 1.2, 1.5, 1.0, 1.2, 0.0",
        "'x', 0, 1.2, 1.5, 1.0, 1.2, 0.0",
    ],
)
def test_table_constraints_refuse_invalid_candles(db: apsw.Connection, values: str) -> None:
    """SANE-ROW: the last line of defence."""
    columns = "series, kind, time, extra_s, open, high, low, close, volume"
    with pytest.raises(apsw.ConstraintError):
        db.execute(f"INSERT INTO candle ({columns}) VALUES (32, 1, {values})")  # noqa: S608


def test_negative_prices_are_accepted(db: apsw.Connection) -> None:
    write(db, "WTI", "M1", [((0, 60), (-37.6, -10.0, -40.3, -13.1, 9.0))])
    assert read(db, "WTI", "D1").candles == [(0, -37.6, -10.0, -40.3, -13.1, 9.0)]


def test_transaction_counts_one_change(db_path: Path) -> None:
    """Two symbols of one transaction have the same number; the next transaction has the next."""
    db = connection.connect(db_path)
    for name, expected in (("EURUSD", 1), ("GBPUSD", 2)):
        with connection.transaction(db):
            one, two = symbols.ensure(db, name), symbols.ensure(db, name + ".r")
            assert [symbols.log_change(db, one), symbols.log_change(db, two)] == [expected] * 2
    assert connection.read_state(db)[1] == 2
    assert {symbol.change for symbol in symbols.list_symbols(db)} == {1, 2}
