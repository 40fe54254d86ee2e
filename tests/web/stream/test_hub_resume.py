"""Hub: resumed streams, and changes after which clients reload their candles."""

from pathlib import Path

import apsw
import pytest

from gfil.store import change_log, symbols
from gfil.store.engine import connection
from gfil.store.removal import delete_range
from gfil.web.stream.client_queue import EVENTS_MAX, Position
from gfil.web.stream.hub import Hub
from tests.store.test_change_log import START
from tests.web.sse import Event
from tests.web.stream.following import join, poll, position, states, sub, write


def test_resumed_stream_receives_the_changes_since(hub: Hub, db: apsw.Connection) -> None:
    write(db, START)
    since = position(db)
    write(db, START + 60, close=2.0)
    write(db, START + 60, close=3.0)
    queue = join(hub, sub("M1"), sub("D1"), since=since)
    assert states(poll(hub, queue)) == [("M1", "UTC", START + 60, 3.0), ("D1", "UTC", START, 3.0)]
    assert poll(hub, join(hub, since=position(db))) == []


def reset(db: apsw.Connection) -> list[Event]:
    return [Event("reset", {}, "{}-{}".format(*position(db)))]


@pytest.mark.parametrize("since", [Position("another", 1), Position("", 0)])
def test_position_of_other_epoch_is_a_reset(hub: Hub, db: apsw.Connection, since: Position) -> None:
    write(db, START)
    assert poll(hub, join(hub, since=since)) == reset(db)


def test_position_ahead_of_the_database_is_a_reset(hub: Hub, db: apsw.Connection) -> None:
    write(db, START)
    epoch, change = position(db)
    assert poll(hub, join(hub, since=Position(epoch, change + 1))) == reset(db)


def test_position_older_than_the_change_log_is_a_reset_if_the_symbol_changed(
    hub: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(db, START, symbol="XAUUSD")
    since = position(db)
    write(db, START)
    write(db, START, close=2.0)
    monkeypatch.setattr(change_log, "LOGGED_CHANGES_MAX", 1)
    assert poll(hub, join(hub, since=since)) == reset(db)
    assert poll(hub, join(hub, sub(symbol="XAUUSD"), since=since)) == []


def test_too_many_changed_candles_are_a_reset(hub: Hub, db: apsw.Connection) -> None:
    write(db, START)
    minutes, hours = join(hub), join(hub, sub("H1"))
    many = [START + 60 * index for index in range(EVENTS_MAX + 1)]
    write(db, *many, close=2.0)
    assert poll(hub, minutes) == reset(db)
    assert len(states(poll(hub, hours))) == 2
    since = position(db)
    write(db, *many[1:], close=3.0)
    assert len(states(poll(hub, join(hub, since=since)))) == EVENTS_MAX


def test_deletion_is_a_reset(hub: Hub, db: apsw.Connection) -> None:
    write(db, START, START + 60)
    since = position(db)
    queue = join(hub, sub("H1"))
    delete_range.delete_range(db, symbols.read(db, "EURUSD"), START, START + 60)
    assert poll(hub, queue) == reset(db)
    assert poll(hub, join(hub, since=since)) == reset(db)


def test_rename_is_a_reset_of_the_old_name(hub: Hub, db: apsw.Connection) -> None:
    write(db, START)
    queue = join(hub)
    with connection.transaction(db):
        symbols.rename(db, symbols.read(db, "EURUSD"), "EURO")
    assert poll(hub, queue) == reset(db)
    write(db, START, close=2.0, symbol="EURO")
    assert poll(hub, queue) == []


def test_old_name_of_a_new_symbol_is_a_reset(hub: Hub, db: apsw.Connection) -> None:
    write(db, START, START + 60)
    since = position(db)
    with connection.transaction(db):
        symbols.rename(db, symbols.read(db, "EURUSD"), "EURO")
    write(db, START, close=2.0)
    assert position(db).epoch == since.epoch
    assert poll(hub, join(hub, since=since)) == reset(db)


def test_symbol_deleted_and_created_again_is_followed(
    hub: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gfil.web.stream.client_queue.RESET_SPACING_S", 0)
    write(db, START)
    queue = join(hub)
    with connection.transaction(db):
        symbols.delete(db, symbols.read(db, "EURUSD"))
    assert poll(hub, queue) == reset(db)
    write(db, START, close=5.0)
    assert poll(hub, queue) == reset(db)
    write(db, START, close=6.0)
    assert states(poll(hub, queue)) == [("M1", "UTC", START, 6.0)]


def test_replaced_database_file_is_a_reset(hub: Hub, db: apsw.Connection, db_path: Path) -> None:
    write(db, START)
    queue = join(hub)
    other = db_path.with_name("other.db")
    connection.create(other)
    replacing = connection.connect(other)
    write(replacing, START, close=9.0)
    replacing.close()
    other.replace(db_path)
    for name in ("-wal", "-shm"):
        db_path.with_name(db_path.name + name).unlink(missing_ok=True)
    (event,) = poll(hub, queue)
    replaced = connection.connect(db_path)
    assert [event] == reset(replaced)
    replaced.close()
