"""What waits for one viewer, and in which shape it goes out."""

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


def taken(viewer: ClientQueue) -> list[Event]:
    return parse(viewer.take(0).decode())


def candle(time: int, close: int, id_: str | None) -> Event:
    return Event("candle", {"candle": [time, close]}, id_)


@pytest.fixture
def viewer() -> ClientQueue:
    """One that has been told its first id, e0-4."""
    made = ClientQueue(AT_4)
    made.show({}, AT_4)
    assert [(each.name, each.id) for each in taken(made)] == [("heartbeat", "e0-4")]
    return made


def test_a_stream_begins_with_how_to_come_again_and_from_where() -> None:
    viewer = ClientQueue(AT_4)
    assert viewer.take(0) == b""  # nobody has looked whether it is of use
    viewer.show({}, AT_4)
    text = viewer.take(0).decode()
    assert re.fullmatch(
        r'retry: 1000\nevent: heartbeat\ndata: \{"time":\d{10}\.\d+\}\nid: e0-4\n\n', text
    )


def test_a_viewer_of_no_known_past_begins_where_it_is_shown_to_be() -> None:
    viewer = ClientQueue(None)
    assert viewer.take(0) == b""
    viewer.show({}, AT_5)
    assert [(each.name, each.id) for each in taken(viewer)] == [("heartbeat", "e0-5")]


@pytest.mark.parametrize("since", [Position("other", 9), Position("e0", 9), None])
def test_an_id_that_is_of_no_use_is_not_sent_back(since: Position | None) -> None:
    viewer = ClientQueue(since)
    viewer.show({}, AT_5, reset=True)
    assert [(each.name, each.id) for each in taken(viewer)] == [("heartbeat", None)]
    assert taken(viewer) == [Event("reset", {}, "e0-5")]


def test_what_was_missed_comes_after_the_first_id() -> None:
    """So that a stream which breaks between the two is resumed before what was missed."""
    viewer = ClientQueue(AT_4)
    viewer.show(event(60), AT_5)
    assert [(each.name, each.id) for each in taken(viewer)] == [("heartbeat", "e0-4")]
    assert taken(viewer) == [candle(60, 1, "e0-5")]


def test_only_the_last_of_several_events_bears_the_id(viewer: ClientQueue) -> None:
    viewer.show(event(60) | event(120), AT_5)
    assert taken(viewer) == [candle(60, 1, None), candle(120, 1, "e0-5")]
    assert viewer.take(0) == b""


def test_states_of_one_candle_are_merged_until_they_are_taken(viewer: ClientQueue) -> None:
    viewer.show(event(60, 1), AT_5)
    viewer.show(event(60, 2), AT_6)
    assert taken(viewer) == [candle(60, 2, "e0-6")]


def test_one_more_than_may_wait_becomes_a_reset(viewer: ClientQueue) -> None:
    for time in range(EVENTS_MAX):
        viewer.show(event(time), AT_5)
    viewer.show(event(EVENTS_MAX), AT_6)
    assert taken(viewer) == [Event("reset", {}, "e0-6")]
    viewer.show(event(60), AT_6)
    assert taken(viewer) == [candle(60, 1, "e0-6")]


def test_the_most_that_may_wait_is_sent(viewer: ClientQueue) -> None:
    for time in range(EVENTS_MAX):
        viewer.show(event(time), AT_5)
    assert [each.data["candle"][0] for each in taken(viewer)] == list(range(EVENTS_MAX))


def test_resets_are_spaced_and_the_last_is_not_dropped(
    viewer: ClientQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.show({}, AT_4, reset=True)
    assert taken(viewer) == [Event("reset", {}, "e0-4")]
    viewer.show({}, AT_5, reset=True)
    viewer.show(event(60), AT_6)
    assert viewer.take(0) == b""  # neither the reset nor what it makes needless
    monkeypatch.setattr(viewer, "_reset_due", 0.0)  # as it is after a while
    assert taken(viewer) == [Event("reset", {}, "e0-6")]
    assert viewer.take(0) == b""


def test_an_id_is_not_sent_before_the_reset_that_belongs_to_it(
    viewer: ClientQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.show({}, AT_4, reset=True)
    viewer.take(0)
    viewer.show({}, AT_5, reset=True)
    monkeypatch.setattr(viewer, "_heartbeat_due", 0.0)
    assert [(each.name, each.id) for each in taken(viewer)] == [("heartbeat", "e0-4")]


def test_a_silent_viewer_gets_a_heartbeat_with_how_far_it_is(
    viewer: ClientQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.show({}, AT_6)  # a change of something else
    assert viewer.take(0) == b""
    monkeypatch.setattr(viewer, "_heartbeat_due", 0.0)
    assert [(each.name, each.id) for each in taken(viewer)] == [("heartbeat", "e0-6")]
    assert viewer.take(0) == b""


def test_a_viewer_that_knows_more_than_it_is_shown_does_not_go_back(viewer: ClientQueue) -> None:
    viewer.show(event(60), Position("e0", 3))
    assert taken(viewer) == [candle(60, 1, "e0-4")]


def test_another_epoch_begins_where_it_is(viewer: ClientQueue) -> None:
    viewer.show({}, Position("e1", 2), reset=True)
    assert taken(viewer) == [Event("reset", {}, "e1-2")]


def test_one_that_waits_is_woken(viewer: ClientQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[bytes] = []
    waiting = threading.Thread(target=lambda: got.append(viewer.take(30)))
    waiting.start()
    viewer.show(event(60), AT_5)
    waiting.join(10)
    assert parse(got[0].decode()) == [candle(60, 1, "e0-5")]
    assert client_queue.HEARTBEAT_S < 15
