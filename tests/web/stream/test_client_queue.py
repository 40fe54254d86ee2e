"""Client queue: which events wait, and the bytes that are sent."""

import re
import threading

import pytest

from gfil.clocks import UTC
from gfil.timeframes import M1
from gfil.web.stream import client_queue
from gfil.web.stream.client_queue import EVENTS_MAX, ClientQueue, Events, Position, Sub
from tests.web.sse import Event, parse

SUB = Sub("EURUSD", M1, UTC)
AT_4, AT_5, AT_6 = (Position("e0", change) for change in (4, 5, 6))


def event(time: int, close: int = 1) -> Events:
    return {(SUB, time): b'event: candle\ndata: {"candle":[%d,%d]}\n' % (time, close)}


def taken(queue: ClientQueue) -> list[Event]:
    return parse(queue.next_chunk(0).decode())


def candle(time: int, close: int, id_: str | None) -> Event:
    return Event("candle", {"candle": [time, close]}, id_)


@pytest.fixture
def queue() -> ClientQueue:
    """A queue that has sent its first id, e0-4."""
    made = ClientQueue(AT_4)
    made.push({}, AT_4)
    assert [(each.name, each.id) for each in taken(made)] == [("heartbeat", "e0-4")]
    return made


def test_stream_begins_with_retry_and_an_id() -> None:
    queue = ClientQueue(AT_4)
    assert queue.next_chunk(0) == b""  # nobody has looked whether it is of use
    queue.push({}, AT_4)
    text = queue.next_chunk(0).decode()
    assert re.fullmatch(
        r'retry: 1000\nevent: heartbeat\ndata: \{"time":\d{10}\.\d+\}\nid: e0-4\n\n', text
    )


def test_queue_without_position_begins_at_the_first_pushed_one() -> None:
    queue = ClientQueue(None)
    assert queue.next_chunk(0) == b""
    queue.push({}, AT_5)
    assert [(each.name, each.id) for each in taken(queue)] == [("heartbeat", "e0-5")]


@pytest.mark.parametrize("since", [Position("other", 9), Position("e0", 9), None])
def test_id_that_cannot_be_resumed_from_is_not_sent(since: Position | None) -> None:
    queue = ClientQueue(since)
    queue.push({}, AT_5, reset=True)
    assert [(each.name, each.id) for each in taken(queue)] == [("heartbeat", None)]
    assert taken(queue) == [Event("reset", {}, "e0-5")]


def test_missed_events_come_after_the_first_id() -> None:
    """A stream that breaks between the two resumes before the missed events."""
    queue = ClientQueue(AT_4)
    queue.push(event(60), AT_5)
    assert [(each.name, each.id) for each in taken(queue)] == [("heartbeat", "e0-4")]
    assert taken(queue) == [candle(60, 1, "e0-5")]


def test_only_the_last_event_has_the_id(queue: ClientQueue) -> None:
    queue.push(event(60) | event(120), AT_5)
    assert taken(queue) == [candle(60, 1, None), candle(120, 1, "e0-5")]
    assert queue.next_chunk(0) == b""


def test_states_of_one_candle_are_merged_until_sent(queue: ClientQueue) -> None:
    queue.push(event(60, 1), AT_5)
    queue.push(event(60, 2), AT_6)
    assert taken(queue) == [candle(60, 2, "e0-6")]


def test_events_beyond_the_limit_become_a_reset(queue: ClientQueue) -> None:
    for time in range(EVENTS_MAX):
        queue.push(event(time), AT_5)
    queue.push(event(EVENTS_MAX), AT_6)
    assert taken(queue) == [Event("reset", {}, "e0-6")]
    queue.push(event(60), AT_6)
    assert taken(queue) == [candle(60, 1, "e0-6")]


def test_events_up_to_the_limit_are_sent(queue: ClientQueue) -> None:
    for time in range(EVENTS_MAX):
        queue.push(event(time), AT_5)
    assert [each.data["candle"][0] for each in taken(queue)] == list(range(EVENTS_MAX))


def test_resets_are_spaced_and_the_last_is_sent(
    queue: ClientQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.push({}, AT_4, reset=True)
    assert taken(queue) == [Event("reset", {}, "e0-4")]
    queue.push({}, AT_5, reset=True)
    queue.push(event(60), AT_6)
    assert queue.next_chunk(0) == b""  # neither the reset nor what it makes needless
    monkeypatch.setattr(queue, "_reset_due", 0.0)  # as it is after a while
    assert taken(queue) == [Event("reset", {}, "e0-6")]
    assert queue.next_chunk(0) == b""


def test_id_is_not_sent_before_its_reset(
    queue: ClientQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.push({}, AT_4, reset=True)
    queue.next_chunk(0)
    queue.push({}, AT_5, reset=True)
    monkeypatch.setattr(queue, "_heartbeat_due", 0.0)
    assert [(each.name, each.id) for each in taken(queue)] == [("heartbeat", "e0-4")]


def test_idle_queue_gets_a_heartbeat_with_its_position(
    queue: ClientQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.push({}, AT_6)  # a change of something else
    assert queue.next_chunk(0) == b""
    monkeypatch.setattr(queue, "_heartbeat_due", 0.0)
    assert [(each.name, each.id) for each in taken(queue)] == [("heartbeat", "e0-6")]
    assert queue.next_chunk(0) == b""


def test_position_of_a_queue_does_not_go_back(queue: ClientQueue) -> None:
    queue.push(event(60), Position("e0", 3))
    assert taken(queue) == [candle(60, 1, "e0-4")]


def test_other_epoch_sets_the_position(queue: ClientQueue) -> None:
    queue.push({}, Position("e1", 2), reset=True)
    assert taken(queue) == [Event("reset", {}, "e1-2")]


def test_push_wakes_a_waiting_stream(queue: ClientQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[bytes] = []
    waiting = threading.Thread(target=lambda: got.append(queue.next_chunk(30)))
    waiting.start()
    queue.push(event(60), AT_5)
    waiting.join(10)
    assert parse(got[0].decode()) == [candle(60, 1, "e0-5")]
    assert client_queue.HEARTBEAT_S < 15
