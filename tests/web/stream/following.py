"""Steps of the hub tests: write candles, join, poll, read events."""

import apsw

from gfil import clocks, timeframes
from gfil.store import symbols
from gfil.store.candles import write as candle_write
from gfil.store.engine import connection
from gfil.timeframes import M1, Timeframe
from gfil.web.stream.client_queue import ClientQueue, Position, Sub
from gfil.web.stream.hub import Hub
from tests.store.test_change_log import rows
from tests.web.sse import Event, parse


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


def join(hub: Hub, *subs: Sub, since: Position | None = None) -> ClientQueue:
    """The queue of an admitted client, after its first heartbeat."""
    queue = hub.join(subs or [sub()], since)
    hub._rest_until = 0.0
    hub.poll()
    queue.next_chunk(0)
    return queue


def poll(hub: Hub, queue: ClientQueue) -> list[Event]:
    hub._rest_until = 0.0
    hub.poll()
    return parse(queue.next_chunk(0).decode())


def states(events: list[Event]) -> list[tuple[str, str, int, float]]:
    """Timeframe, clock, time and close of each."""
    assert {event.name for event in events} <= {"candle"}
    return [
        (each.data["tf"], each.data["clock"], each.data["candle"][0], each.data["candle"][4])
        for each in events
    ]


def position(db: apsw.Connection) -> Position:
    return Position(*connection.read_state(db))
