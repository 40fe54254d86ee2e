"""What one worker shows its viewers of commits made by whomever, without a server between."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from gfil import clocks, timeframes
from gfil.clocks import UTC
from gfil.errors import Busy
from gfil.store import change_log, symbols
from gfil.store.candles import page as page_request
from gfil.store.candles import read as candle_read
from gfil.store.candles import ticks
from gfil.store.candles import write as candle_write
from gfil.store.candles.ticks import Ticks
from gfil.store.engine import connection
from gfil.store.removal import delete_range, prune
from gfil.store.symbols import Symbol
from gfil.timeframes import D1, H1, M1, M2, W1, Timeframe
from gfil.web.stream import hub as module
from gfil.web.stream.client_queue import EVENTS_MAX, ClientQueue, Position, Sub
from gfil.web.stream.hub import Hub
from tests.store.test_change_log import DAY, START, rows
from tests.web.sse import Event, parse


@pytest.fixture
def live(db_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Three streams at most; it looks when a test says so."""
    monkeypatch.setattr(module, "IDLE_S", 0)
    monkeypatch.setattr(module, "SPACING_S", 0)
    made = Hub(db_path, 3)
    yield made
    made.close()


def write(
    db: apsw.Connection,
    *times: int,
    close: float = 1.0,
    tf: Timeframe = M1,
    symbol: str = "EURUSD",
) -> None:
    with connection.transaction(db):
        candle_write.write_candles(db, symbols.ensure(db, symbol), tf, rows(*times, close=close))


def sub(tf: str = "M1", symbol: str = "EURUSD", clock: str = "UTC") -> Sub:
    return Sub(symbol, timeframes.parse(tf), clocks.parse(clock))


def join(live: Hub, *subs: Sub, since: Position | None = None) -> ClientQueue:
    """A viewer that has been welcomed; its first heartbeat is taken."""
    viewer = live.join(subs or [sub()], since)
    live._rest_until = 0.0
    live.look()
    viewer.take(0)
    return viewer


def look(live: Hub, viewer: ClientQueue) -> list[Event]:
    live._rest_until = 0.0
    live.look()
    return parse(viewer.take(0).decode())


def states(events: list[Event]) -> list[tuple[str, str, int, float]]:
    """Timeframe, clock, time and close of each."""
    assert {event.name for event in events} <= {"candle"}
    return [
        (each.data["tf"], each.data["clock"], each.data["candle"][0], each.data["candle"][4])
        for each in events
    ]


def position(db: apsw.Connection) -> Position:
    return Position(*connection.read_state(db))


def test_a_commit_is_shown_to_those_who_follow_it(live: Hub, db: apsw.Connection) -> None:
    write(db, START)
    write(db, START, symbol="XAUUSD")
    first, second = join(live), join(live, sub(symbol="XAUUSD"))
    assert look(live, first) == []
    write(db, START, close=2.0)
    reached = position(db)
    data = {"symbol": "EURUSD", "tf": "M1", "clock": "UTC", "candle": [START, *4 * [2.0], 1.0]}
    assert look(live, first) == [Event("candle", data, f"{reached.epoch}-{reached.change}")]
    assert look(live, second) == []


def test_what_is_not_committed_is_not_shown(live: Hub, db: apsw.Connection) -> None:
    write(db, START)
    viewer = join(live)
    with connection.transaction(db):
        candle_write.write_candles(db, symbols.read(db, "EURUSD"), M1, rows(START, close=5.0))
        assert look(live, viewer) == []
    assert states(look(live, viewer)) == [("M1", "UTC", START, 5.0)]


def test_every_timeframe_and_clock_above_is_shown(live: Hub, db: apsw.Connection) -> None:
    write(db, START, START + 60)
    subs = [sub("M1"), sub("M2"), sub("H4", clock="nyclose"), sub("W1", clock="Asia/Kathmandu")]
    viewer = join(live, *subs)
    write(db, START + 60, close=3.0)
    shown = look(live, viewer)
    for event, each in zip(shown, subs, strict=True):
        known = symbols.read(db, "EURUSD")
        page = page_request.read_page(
            db, known, each.timeframe, each.clock, limit=1, now=time.time()
        )
        assert event.data["candle"] == [*page.candles[-1]]
        assert (event.data["tf"], event.data["clock"]) == (each.timeframe.name, each.clock.name)
    assert [event.id for event in shown[:-1]] == [None] * 3
    assert shown[-1].id == "{}-{}".format(*position(db))


def test_shorter_timeframes_do_not_follow_longer_ones(live: Hub, db: apsw.Connection) -> None:
    write(db, START)
    viewer = join(live, sub("M1"), sub("H1"), sub("D1"), sub("W1"))
    write(db, START + DAY, tf=D1, close=7.0)
    assert [each[0] for each in states(look(live, viewer))] == ["D1", "W1"]


@pytest.mark.parametrize("tf", [M2, W1])
def test_candles_off_the_chain_answer_for_themselves(
    live: Hub, db: apsw.Connection, tf: Timeframe
) -> None:
    write(db, START)
    viewer = join(live, sub("M2"), sub("H1"), sub("W1"), sub("MN1"))
    write(db, UTC.bucket(tf, START).start, tf=tf, close=7.0)
    assert states(look(live, viewer)) == [(tf.name, "UTC", UTC.bucket(tf, START).start, 7.0)]


def test_of_what_is_pruned_nobody_is_told(live: Hub, db: apsw.Connection) -> None:
    write(db, START, START + 60)
    viewer = join(live, sub("M1"), sub("H1"), sub("W1"))
    since = position(db)
    with connection.transaction(db):
        symbol = symbols.read(db, "EURUSD")
        aim = prune.PruneTarget(symbol, "M1", START + DAY, START + 90 * DAY, True)
        piece = prune.find_batch(db, aim, 0, days=16, rows=100)
        assert piece is not None
        assert prune.remove_batch(db, aim, piece).rows == 2
    assert look(live, viewer) == []
    assert look(live, join(live, sub("H1"), since=since)) == []


def test_a_tick_is_shown(live: Hub, db: apsw.Connection) -> None:
    write(db, START)
    viewer = join(live, sub("M1"), sub("D1"))
    with connection.transaction(db):
        symbol = symbols.read(db, "EURUSD")
        ticks.write_ticks(
            db, symbol, Ticks([START * 1000 + 60_001], [4.0], [0.0], [0.0], [0.0], [6])
        )
    assert states(look(live, viewer)) == [
        ("M1", "UTC", START + 60, 4.0),
        ("D1", "UTC", START, 4.0),
    ]


def test_states_of_a_candle_are_spaced_and_the_last_is_shown(
    live: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(db, START)
    viewer = join(live, sub("M1"), sub("M1", clock="+01:00"))
    monkeypatch.setattr(module, "SPACING_S", 3600)
    before = position(db)
    write(db, START, close=2.0)
    assert len(states(look(live, viewer))) == 2
    write(db, START, close=3.0)
    write(db, START, close=4.0)
    assert look(live, viewer) == []
    for topic in live._topics.values():
        topic.due = 0.0  # as it is after a while
    shown = look(live, viewer)
    assert states(shown) == [("M1", "UTC", START, 4.0), ("M1", "+01:00", START, 4.0)]
    assert shown[-1].id == f"{before.epoch}-{before.change + 3}"


def test_an_id_does_not_run_ahead_of_what_is_held_back(
    live: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What resumes from it must get the rest."""
    write(db, START)
    write(db, START, symbol="XAUUSD")
    viewer = join(live, sub(), sub(symbol="XAUUSD"))
    monkeypatch.setattr(module, "SPACING_S", 3600)
    write(db, START, close=2.0)
    look(live, viewer)
    sent = position(db)
    write(db, START, close=3.0)  # held back
    write(db, START, close=2.0, symbol="XAUUSD")
    shown = look(live, viewer)
    assert [event.data["symbol"] for event in shown] == ["XAUUSD"]
    assert shown[-1].id == f"{sent.epoch}-{sent.change}"
    again = join(live, sub(), sub(symbol="XAUUSD"), since=sent)
    assert [each[3] for each in states(look(live, again))] == [3.0, 2.0]


def test_one_who_comes_again_is_shown_what_changed_since(live: Hub, db: apsw.Connection) -> None:
    write(db, START)
    since = position(db)
    write(db, START + 60, close=2.0)
    write(db, START + 60, close=3.0)
    viewer = join(live, sub("M1"), sub("D1"), since=since)
    assert states(look(live, viewer)) == [("M1", "UTC", START + 60, 3.0), ("D1", "UTC", START, 3.0)]
    assert look(live, join(live, since=position(db))) == []


def reset(db: apsw.Connection) -> list[Event]:
    return [Event("reset", {}, "{}-{}".format(*position(db)))]


@pytest.mark.parametrize("since", [Position("another", 1), Position("", 0)])
def test_one_of_another_epoch_reads_anew(live: Hub, db: apsw.Connection, since: Position) -> None:
    write(db, START)
    assert look(live, join(live, since=since)) == reset(db)


def test_one_that_is_ahead_reads_anew(live: Hub, db: apsw.Connection) -> None:
    write(db, START)
    epoch, change = position(db)
    assert look(live, join(live, since=Position(epoch, change + 1))) == reset(db)


def test_one_from_too_long_ago_reads_anew_if_anything_of_his_changed(
    live: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(db, START, symbol="XAUUSD")
    since = position(db)
    write(db, START)
    write(db, START, close=2.0)
    monkeypatch.setattr(change_log, "LOGGED_CHANGES_MAX", 1)
    assert look(live, join(live, since=since)) == reset(db)
    assert look(live, join(live, sub(symbol="XAUUSD"), since=since)) == []


def test_too_many_candles_at_once_are_a_reset(live: Hub, db: apsw.Connection) -> None:
    write(db, START)
    minutes, hours = join(live), join(live, sub("H1"))
    many = [START + 60 * index for index in range(EVENTS_MAX + 1)]
    write(db, *many, close=2.0)
    assert look(live, minutes) == reset(db)
    assert len(states(look(live, hours))) == 2
    since = position(db)
    write(db, *many[1:], close=3.0)
    assert len(states(look(live, join(live, since=since)))) == EVENTS_MAX


def test_after_a_deletion_all_is_read_anew(live: Hub, db: apsw.Connection) -> None:
    write(db, START, START + 60)
    since = position(db)
    viewer = join(live, sub("H1"))
    delete_range.delete_range(db, symbols.read(db, "EURUSD"), START, START + 60)
    assert look(live, viewer) == reset(db)
    assert look(live, join(live, since=since)) == reset(db)


def test_after_a_rename_the_old_name_is_nobody(live: Hub, db: apsw.Connection) -> None:
    write(db, START)
    viewer = join(live)
    with connection.transaction(db):
        symbols.rename(db, symbols.read(db, "EURUSD"), "EURO")
    assert look(live, viewer) == reset(db)
    write(db, START, close=2.0, symbol="EURO")
    assert look(live, viewer) == []


def test_an_old_name_that_another_has_by_now_is_read_anew(live: Hub, db: apsw.Connection) -> None:
    write(db, START, START + 60)
    since = position(db)
    with connection.transaction(db):
        symbols.rename(db, symbols.read(db, "EURUSD"), "EURO")
    write(db, START, close=2.0)
    assert position(db).epoch == since.epoch
    assert look(live, join(live, since=since)) == reset(db)


def test_a_symbol_deleted_and_made_again_is_followed(
    live: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gfil.web.stream.client_queue.RESET_SPACING_S", 0)
    write(db, START)
    viewer = join(live)
    with connection.transaction(db):
        symbols.delete(db, symbols.read(db, "EURUSD"))
    assert look(live, viewer) == reset(db)
    write(db, START, close=5.0)
    assert look(live, viewer) == reset(db)
    write(db, START, close=6.0)
    assert states(look(live, viewer)) == [("M1", "UTC", START, 6.0)]


def test_another_file_in_the_databases_place_is_another_epoch(
    live: Hub, db: apsw.Connection, db_path: Path
) -> None:
    write(db, START)
    viewer = join(live)
    other = db_path.with_name("other.db")
    connection.create(other)
    replacing = connection.connect(other)
    write(replacing, START, close=9.0)
    replacing.close()
    other.replace(db_path)
    for name in ("-wal", "-shm"):
        db_path.with_name(db_path.name + name).unlink(missing_ok=True)
    (event,) = look(live, viewer)
    replaced = connection.connect(db_path)
    assert [event] == reset(replaced)
    replaced.close()


def test_there_is_room_for_so_many_and_no_more(live: Hub, db: apsw.Connection) -> None:
    write(db, START)
    viewers = [live.join([sub()], None) for _ in range(3)]
    with pytest.raises(Busy, match="all live streams are taken") as refused:
        live.join([sub()], None)
    assert refused.value.retry_after_s == 5
    live.leave(viewers[0])
    live.leave(viewers[0])
    live.join([sub()], None)
    live.look()
    assert viewers[0].take(0) == b""


def test_who_has_left_costs_nothing(live: Hub, db: apsw.Connection) -> None:
    write(db, START)
    viewer, other = join(live, sub("M1"), sub("H1")), join(live, sub("H1"))
    live.leave(viewer)
    look(live, other)
    assert [topic.sub for topic in live._topics.values()] == [sub("H1")]
    live.leave(other)
    live.look()
    assert live._topics == {}


def test_a_look_that_fails_is_made_up_for(
    live: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(db, START)
    viewer = join(live, sub("M1"), sub("H1"))
    read = candle_read.read_candles

    def fail(
        db: apsw.Connection, symbol: Symbol, tf: Timeframe, *rest: Any
    ) -> candle_read.CandleSlice:
        if tf == H1:  # the first has been read by then
            raise Busy
        return read(db, symbol, tf, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(candle_read, "read_candles", fail)
        write(db, START, close=2.0)
        with pytest.raises(Busy):
            look(live, viewer)
    assert states(look(live, viewer)) == [("M1", "UTC", START, 2.0), ("H1", "UTC", START, 2.0)]


def test_a_welcome_that_fails_is_made_up_for(
    live: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it leave anything of a viewer who has gone by then."""
    write(db, START)
    find = symbols.find

    def fail(db: apsw.Connection, name: str) -> Symbol | None:
        if name == "XAUUSD":  # the first has been found by then
            raise Busy
        return find(db, name)

    staying, gone = (live.join([sub(), sub(symbol="XAUUSD")], None) for _ in range(2))
    with monkeypatch.context() as patched:
        patched.setattr("gfil.web.stream.hub.symbols.find", fail)
        with pytest.raises(Busy):
            live.look()
    assert live._topics == {}
    live.leave(gone)
    assert [event.name for event in look(live, staying)] == ["heartbeat"]
    write(db, START, close=2.0)
    assert states(look(live, staying)) == [("M1", "UTC", START, 2.0)]
    assert gone.take(0) == b""


def test_a_candle_that_was_touched_in_several_places_is_read_once(
    live: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And for all who follow it."""
    write(db, START)
    viewers = [join(live, sub("D1")) for _ in range(3)]
    for hours in (0, 3, 6):
        write(db, START + 3600 * hours, close=3.0 + hours)
    read, asked = candle_read.read_candles, []

    def count(db: apsw.Connection, symbol: Symbol, *rest: Any) -> candle_read.CandleSlice:
        asked.append(rest)
        return read(db, symbol, *rest)

    monkeypatch.setattr(candle_read, "read_candles", count)
    for viewer in viewers:
        assert states(look(live, viewer)) == [("D1", "UTC", START, 9.0)]
    assert len(asked) == 1
