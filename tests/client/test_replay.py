"""Tests of gfil/client/replay.py: due times, shifted times and batches."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from gfil.client import replay
from gfil.client.replay import Pace, Stopped
from gfil.client.tick_poster import Poster, Server, Tick
from gfil.clocks import parse
from gfil.errors import BadParameter, BadRequest, GfilError
from gfil.ingest.options import Options

FIRST_MSC = 1709251200000


class Recorder(Poster):
    """Server that records every request with its time; fails at request `fails_at`."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__(Server("http", "127.0.0.1", 9, ""), "x")
        self.fails_at = fails_at
        self.requests: list[tuple[float, list[Tick]]] = []

    def post(self, ticks: Sequence[Tick]) -> Iterator[tuple[Sequence[Tick], dict[str, Any]]]:
        """Accept all ticks with a price."""
        if len(self.requests) == self.fails_at:
            raise GfilError("away")
        self.requests.append((time.time() * 1000, [*ticks]))
        refused = [at for at, tick in enumerate(ticks) if tick.symbol == "BAD"]
        yield (
            ticks,
            {
                "rows": len(ticks),
                "inserted": len(ticks) - len(refused),
                "duplicates": 0,
                "rejected": len(refused),
                "reasons": {"future": len(refused)} if refused else {},
                "errors": [{"row": at, "reason": "future", "text": "?"} for at in refused],
                "warnings": [],
                "last": {},
                "change": len(self.requests),
            },
        )

    @property
    def ticks(self) -> list[Tick]:
        """All received ticks, in order."""
        return [tick for _, ticks in self.requests for tick in ticks]


def csv(*stamps: int, symbols: str = "") -> bytes:
    rows = [f"{FIRST_MSC + stamp},{at + 1},{at + 2}" for at, stamp in enumerate(stamps)]
    if not symbols:
        return "\n".join(["time_msc,bid,ask", *rows]).encode()
    named = [f"{row},{symbol}" for row, symbol in zip(rows, symbols.split(), strict=True)]
    return "\n".join(["time_msc,bid,ask,symbol", *named]).encode()


def play(data: bytes, pace: Pace, to: Recorder | None = None, **named: Any) -> Recorder:
    to = to or Recorder()
    replay.run([data], Options(symbol="X", **named), to, pace)
    return to


def test_ticks_of_a_window_share_a_request_sent_when_the_last_is_due() -> None:
    began = time.time() * 1000
    came = play(csv(0, 0, 240, 250, 300, 900), Pace())
    sizes = [len(ticks) for _, ticks in came.requests]
    assert sizes == [3, 2, 1]
    for (at, ticks), due in zip(came.requests, (240, 300, 900), strict=True):
        assert at - began >= due - 5
        assert ticks[-1].time_msc == FIRST_MSC + due


def test_higher_speed_shortens_the_intervals() -> None:
    began = time.monotonic()
    came = play(csv(0, 20_000, 40_000), Pace(100))
    assert [len(ticks) for _, ticks in came.requests] == [2, 1]
    assert time.monotonic() - began >= 0.4
    assert [tick.time_msc - FIRST_MSC for tick in came.ticks] == [0, 20_000, 40_000]


def test_speed_max_fills_requests_without_splitting_milliseconds() -> None:
    came = play(csv(*(at // 7 for at in range(12_000))), Pace(None))
    assert [len(ticks) for _, ticks in came.requests] == [5005, 5005, 1990]
    assert [tick.row for tick in came.ticks] == [*range(2, 12_002)]


def test_now_gives_no_time_in_the_future() -> None:
    began = time.time_ns() // 1_000_000
    came = play(csv(*range(0, 60_000, 37)), Pace(100, to_now=True))
    stamps = [tick.time_msc for tick in came.ticks]
    assert stamps == sorted(stamps)
    assert began <= stamps[0] <= began + 1000
    assert stamps[-1] - stamps[0] == 599
    for at, ticks in came.requests:
        assert all(tick.time_msc <= at for tick in ticks)
    seen = [{tick.time_msc for tick in ticks} for _, ticks in came.requests]
    assert sum(map(len, seen)) == len(set.union(*seen))


def test_overdue_ticks_share_a_request() -> None:
    class Slow(Recorder):
        def post(self, ticks: Sequence[Tick]) -> Iterator[tuple[Sequence[Tick], dict[str, Any]]]:
            time.sleep(0.9 if not self.requests else 0)
            yield from super().post(ticks)

    came = play(csv(0, 300, 600, 750, 1200), Pace(), Slow())
    assert [len(ticks) for _, ticks in came.requests] == [1, 3, 1]


def test_unsorted_file_is_posted_in_file_order() -> None:
    came = play(csv(500, 0, 250), Pace())
    assert [tick.time_msc - FIRST_MSC for tick in came.ticks] == [500, 0, 250]
    assert len(came.requests) == 1


def test_symbols_of_a_column_stay_in_file_order() -> None:
    came = play(csv(0, 1, 2, 3, symbols="A B A C"), Pace(None))
    assert [tick.symbol for tick in came.ticks] == ["A", "B", "A", "C"]
    assert [tick.row for tick in came.ticks] == [2, 3, 4, 5]


def test_times_of_a_clock_become_utc() -> None:
    data = b"<DATE>\t<TIME>\t<BID>\t<ASK>\n2024.03.01\t02:00:00.040\t1.1\t\n"
    came = play(data.replace(b"1.1\t\n", b"1.1\t1.2\n"), Pace(), clock=parse("+02:00"))
    assert came.ticks == [Tick(2, "X", FIRST_MSC + 40, 1.1, 1.2, 0.0, 0.0, 0)]


def test_refused_rows_have_row_numbers_of_the_file() -> None:
    data = csv(0, 1, 2, symbols="A BAD A") + b"\nx,1,2,A\n"
    report = replay.run([data], Options(), Recorder(), Pace(None))
    assert (report.rows, report.inserted, report.rejected) == (4, 2, 2)
    assert [(error["row"], error["reason"]) for error in report.as_json()["errors"]] == [
        (3, "future"),
        (5, "bad_time"),
    ]


def test_stopped_replay_reports_the_accepted_ticks() -> None:
    with pytest.raises(Stopped) as caught:
        play(csv(*range(12_000)), Pace(None), Recorder(fails_at=1))
    assert caught.value.detail == "away; 5,000 ticks accepted before"
    with pytest.raises(Stopped) as caught:
        play(csv(0), Pace(None), Recorder(fails_at=0))
    assert caught.value.detail == "away"


@pytest.mark.parametrize(
    ("data", "pace", "kind", "why"),
    [
        (csv(0), Pace(None, to_now=True), BadParameter, "--now needs a --speed"),
        (b"", Pace(), BadRequest, "the input is empty"),
        (b"2024.03.01,00:00,1,1,1,1,5\n", Pace(), BadRequest, "these are candles, not ticks"),
    ],
)
def test_invalid_replay_posts_nothing(
    data: bytes, pace: Pace, kind: type[GfilError], why: str
) -> None:
    to = Recorder()
    with pytest.raises(kind, match=why):
        play(data, pace, to)
    assert to.requests == []


def test_missing_symbol_names_the_option() -> None:
    with pytest.raises(BadParameter, match="name it with symbol"):
        replay.run([csv(0)], Options(), Recorder(), Pace())


def test_progress_adds_up_to_the_file_size() -> None:
    seen: list[int] = []
    data = csv(*range(0, 60_000, 10))
    replay.run(
        [data[:5000], data[5000:]],
        Options(symbol="X"),
        Recorder(),
        Pace(None),
        progress=lambda size, _: seen.append(size),
    )
    assert len(seen) == 2
    assert sum(seen) == len(data)
