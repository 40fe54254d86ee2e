"""Hub: commits of any process are pushed to the clients of one worker."""

import time
from typing import Any

import apsw
import pytest

from gfil.clocks import UTC
from gfil.errors import Busy
from gfil.store import symbols
from gfil.store.candles import page as page_request
from gfil.store.candles import read as candle_read
from gfil.store.candles import ticks
from gfil.store.candles import write as candle_write
from gfil.store.candles.ticks import Ticks
from gfil.store.engine import connection
from gfil.store.removal import prune
from gfil.store.symbols import Symbol
from gfil.timeframes import D1, H1, M1, M2, W1, Timeframe
from gfil.web.stream import hub as hub_module
from gfil.web.stream.hub import Hub
from tests.store.test_change_log import DAY, START, rows
from tests.web.sse import Event
from tests.web.stream.following import join, poll, position, states, sub, write


def test_commit_is_pushed_to_its_subscribers_only(hub: Hub, db: apsw.Connection) -> None:
    write(db, START)
    write(db, START, symbol="XAUUSD")
    first, second = join(hub), join(hub, sub(symbol="XAUUSD"))
    assert poll(hub, first) == []
    write(db, START, close=2.0)
    reached = position(db)
    data = {"symbol": "EURUSD", "tf": "M1", "clock": "UTC", "candle": [START, *4 * [2.0], 1.0]}
    assert poll(hub, first) == [Event("candle", data, f"{reached.epoch}-{reached.change}")]
    assert poll(hub, second) == []


def test_uncommitted_candle_is_not_pushed(hub: Hub, db: apsw.Connection) -> None:
    write(db, START)
    queue = join(hub)
    with connection.transaction(db):
        candle_write.write_candles(db, symbols.read(db, "EURUSD"), M1, rows(START, close=5.0))
        assert poll(hub, queue) == []
    assert states(poll(hub, queue)) == [("M1", "UTC", START, 5.0)]


def test_commit_is_pushed_on_longer_timeframes_and_clocks(hub: Hub, db: apsw.Connection) -> None:
    write(db, START, START + 60)
    subs = [sub("M1"), sub("M2"), sub("H4", clock="nyclose"), sub("W1", clock="Asia/Kathmandu")]
    queue = join(hub, *subs)
    write(db, START + 60, close=3.0)
    shown = poll(hub, queue)
    for event, each in zip(shown, subs, strict=True):
        known = symbols.read(db, "EURUSD")
        page = page_request.read_page(
            db, known, each.timeframe, each.clock, limit=1, now=time.time()
        )
        assert event.data["candle"] == [*page.candles[-1]]
        assert (event.data["tf"], event.data["clock"]) == (each.timeframe.name, each.clock.name)
    assert [event.id for event in shown[:-1]] == [None] * 3
    assert shown[-1].id == "{}-{}".format(*position(db))


def test_longer_candle_does_not_change_shorter_timeframes(hub: Hub, db: apsw.Connection) -> None:
    write(db, START)
    queue = join(hub, sub("M1"), sub("H1"), sub("D1"), sub("W1"))
    write(db, START + DAY, tf=D1, close=7.0)
    assert [each[0] for each in states(poll(hub, queue))] == ["D1", "W1"]


@pytest.mark.parametrize("tf", [M2, W1])
def test_candle_off_the_chain_changes_its_own_timeframe_only(
    hub: Hub, db: apsw.Connection, tf: Timeframe
) -> None:
    write(db, START)
    queue = join(hub, sub("M2"), sub("H1"), sub("W1"), sub("MN1"))
    write(db, UTC.bucket(tf, START).start, tf=tf, close=7.0)
    assert states(poll(hub, queue)) == [(tf.name, "UTC", UTC.bucket(tf, START).start, 7.0)]


def test_prune_pushes_nothing(hub: Hub, db: apsw.Connection) -> None:
    write(db, START, START + 60)
    queue = join(hub, sub("M1"), sub("H1"), sub("W1"))
    since = position(db)
    with connection.transaction(db):
        symbol = symbols.read(db, "EURUSD")
        aim = prune.PruneTarget(symbol, "M1", START + DAY, START + 90 * DAY, True)
        piece = prune.find_batch(db, aim, 0, days=16, rows=100)
        assert piece is not None
        assert prune.remove_batch(db, aim, piece).rows == 2
    assert poll(hub, queue) == []
    assert poll(hub, join(hub, sub("H1"), since=since)) == []


def test_tick_is_pushed_on_every_timeframe(hub: Hub, db: apsw.Connection) -> None:
    write(db, START)
    queue = join(hub, sub("M1"), sub("D1"))
    with connection.transaction(db):
        symbol = symbols.read(db, "EURUSD")
        ticks.write_ticks(
            db, symbol, Ticks([START * 1000 + 60_001], [4.0], [0.0], [0.0], [0.0], [6])
        )
    assert states(poll(hub, queue)) == [
        ("M1", "UTC", START + 60, 4.0),
        ("D1", "UTC", START, 4.0),
    ]


def test_states_of_a_candle_are_spaced_and_the_last_is_pushed(
    hub: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(db, START)
    queue = join(hub, sub("M1"), sub("M1", clock="+01:00"))
    monkeypatch.setattr(hub_module, "SPACING_S", 3600)
    before = position(db)
    write(db, START, close=2.0)
    assert len(states(poll(hub, queue))) == 2
    write(db, START, close=3.0)
    write(db, START, close=4.0)
    assert poll(hub, queue) == []
    for each in hub._subscriptions.values():
        each.due = 0.0  # as after SPACING_S
    shown = poll(hub, queue)
    assert states(shown) == [("M1", "UTC", START, 4.0), ("M1", "+01:00", START, 4.0)]
    assert shown[-1].id == f"{before.epoch}-{before.change + 3}"


def test_id_does_not_run_ahead_of_held_back_states(
    hub: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(db, START)
    write(db, START, symbol="XAUUSD")
    queue = join(hub, sub(), sub(symbol="XAUUSD"))
    monkeypatch.setattr(hub_module, "SPACING_S", 3600)
    write(db, START, close=2.0)
    poll(hub, queue)
    sent = position(db)
    write(db, START, close=3.0)  # held back
    write(db, START, close=2.0, symbol="XAUUSD")
    shown = poll(hub, queue)
    assert [event.data["symbol"] for event in shown] == ["XAUUSD"]
    assert shown[-1].id == f"{sent.epoch}-{sent.change}"
    again = join(hub, sub(), sub(symbol="XAUUSD"), since=sent)
    assert [each[3] for each in states(poll(hub, again))] == [3.0, 2.0]


def test_streams_beyond_the_limit_are_refused(hub: Hub, db: apsw.Connection) -> None:
    write(db, START)
    queues = [hub.join([sub()], None) for _ in range(3)]
    with pytest.raises(Busy, match="all live streams are taken") as refused:
        hub.join([sub()], None)
    assert refused.value.retry_after_s == 5
    hub.leave(queues[0])
    hub.leave(queues[0])
    hub.join([sub()], None)
    hub.poll()
    assert queues[0].next_chunk(0) == b""


def test_subscription_ends_with_its_last_client(hub: Hub, db: apsw.Connection) -> None:
    write(db, START)
    queue, other = join(hub, sub("M1"), sub("H1")), join(hub, sub("H1"))
    hub.leave(queue)
    poll(hub, other)
    assert [each.sub for each in hub._subscriptions.values()] == [sub("H1")]
    hub.leave(other)
    hub.poll()
    assert hub._subscriptions == {}


def test_failed_poll_is_repeated_without_a_hole(
    hub: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(db, START)
    queue = join(hub, sub("M1"), sub("H1"))
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
            poll(hub, queue)
    assert states(poll(hub, queue)) == [("M1", "UTC", START, 2.0), ("H1", "UTC", START, 2.0)]


def test_failed_admission_is_repeated(
    hub: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(db, START)
    find = symbols.find

    def fail(db: apsw.Connection, name: str) -> Symbol | None:
        if name == "XAUUSD":  # the first has been found by then
            raise Busy
        return find(db, name)

    staying, gone = (hub.join([sub(), sub(symbol="XAUUSD")], None) for _ in range(2))
    with monkeypatch.context() as patched:
        patched.setattr("gfil.web.stream.hub.symbols.find", fail)
        with pytest.raises(Busy):
            hub.poll()
    assert hub._subscriptions == {}
    hub.leave(gone)
    assert [event.name for event in poll(hub, staying)] == ["heartbeat"]
    write(db, START, close=2.0)
    assert states(poll(hub, staying)) == [("M1", "UTC", START, 2.0)]
    assert gone.next_chunk(0) == b""


def test_candle_touched_in_several_ranges_is_read_once_for_all_clients(
    hub: Hub, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(db, START)
    queues = [join(hub, sub("D1")) for _ in range(3)]
    for hours in (0, 3, 6):
        write(db, START + 3600 * hours, close=3.0 + hours)
    read, asked = candle_read.read_candles, []

    def count(db: apsw.Connection, symbol: Symbol, *rest: Any) -> candle_read.CandleSlice:
        asked.append(rest)
        return read(db, symbol, *rest)

    monkeypatch.setattr(candle_read, "read_candles", count)
    for queue in queues:
        assert states(poll(hub, queue)) == [("D1", "UTC", START, 9.0)]
    assert len(asked) == 1
