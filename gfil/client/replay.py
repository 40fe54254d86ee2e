"""A file of ticks posted to a server as a pump would: at its own pace, or so many times as fast."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from heapq import merge
from operator import attrgetter
from typing import Any, NamedTuple

from gfil.client.tick_poster import Poster, Tick
from gfil.errors import BadParameter, BadRequest, GfilError, Refused
from gfil.ingest import importer
from gfil.ingest.options import Options
from gfil.ingest.parse.rows import NumberedTicks
from gfil.ingest.report import ERRORS_MAX, Report

WINDOW_MSC = 250  # ticks due within it go in one request, when the last of them is due
BATCH_TICKS_MAX = 5000  # of those that are overdue
SPEED_MAX = 1e6

Progress = Callable[[int, str], object]
"""Takes how many more bytes of the file were posted, and the last stamp as a text."""


class Pace(NamedTuple):
    """How fast ticks go: `speed` times as fast as they came, None is as fast as the server can.

    `to_now` moves the stamps: the first tick is now, the others as far apart as they are posted.
    """

    speed: float | None = 1.0
    to_now: bool = False


class Stopped(GfilError):
    """A replay that ended before its file did."""


class _Timetable:
    # When a tick is due, in ms since the first was; from when the first is asked for.
    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._first_msc: int | None = None
        self._began_s = 0.0
        self._began_msc = 0

    def due(self, tick: Tick) -> int:
        if self._first_msc is None:
            self._first_msc = tick.time_msc
            self._began_s, self._began_msc = time.monotonic(), time.time_ns() // 1_000_000
        since_first = tick.time_msc - self._first_msc
        return 0 if self._pace.speed is None else int(since_first // self._pace.speed)

    def stamp(self, tick: Tick, due_msc: int) -> Tick:
        return tick._replace(time_msc=self._began_msc + due_msc) if self._pace.to_now else tick

    def elapsed_msc(self) -> int:
        return int((time.monotonic() - self._began_s) * 1000)

    def wait_for(self, due_msc: int) -> None:
        ahead_s = due_msc / 1000 - (time.monotonic() - self._began_s)
        if ahead_s > 0:
            time.sleep(ahead_s)


class _Source:
    # The ticks of a file in its order. Of the bytes of a piece each of its ticks makes up a share.
    def __init__(self, chunks: Iterable[bytes], options: Options, name: str) -> None:
        self._taken_bytes = 0
        self.given_bytes = 0.0
        self.report, self._pieces = importer.read_ticks(self._take(chunks), options, name=name)

    def _take(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._taken_bytes += len(chunk)
            yield chunk

    def __iter__(self) -> Iterator[Tick]:
        for piece in self._pieces:
            count = sum(len(rows.row) for _, rows in piece)
            share = (self._taken_bytes - self.given_bytes) / max(count, 1)
            for tick in merge(*(_ticks_of(*each) for each in piece), key=attrgetter("row")):
                self.given_bytes += share
                yield tick


def _ticks_of(symbol: str, rows: NumberedTicks) -> Iterator[Tick]:
    for row, *fields in zip(*rows, strict=True):
        yield Tick(row, symbol, *fields)


def run(
    chunks: Iterable[bytes],
    options: Options,
    poster: Poster,
    pace: Pace,
    *,
    name: str = "-",
    progress: Progress = lambda _bytes, _stamp: None,
) -> Report:
    """Post the ticks of a file, each when it is due, and return what became of them.

    Without `to_now` stamps stay as they are. With it none ever lies in the future: a request goes
    out when the last of its ticks is due. Ticks of one millisecond stay in one request.

    Raises:
        UnknownFormat, BadParameter: as `importer.load`; or `to_now` without a speed.
        Stopped: the server refuses, is away for too long, or somebody ends it; it tells how many
            ticks were taken before.
    """
    if pace.to_now and pace.speed is None:
        raise BadParameter("--now needs a --speed: at most one tick can be now")
    source, timetable = _Source(chunks, options, name), _Timetable(pace)
    told = 0
    with _telling_what_was_taken(source.report):
        for batch, due_msc in _batches(source, timetable):
            timetable.wait_for(due_msc)
            for ticks, answer in poster.post(batch):
                _count(source.report, ticks, answer)
            told, before = round(source.given_bytes), told
            progress(told - before, _show(batch[-1].time_msc))
    return source.report


# Cuts ticks into requests, each with when it is due: what is due within a window, or overdue.
def _batches(ticks: Iterable[Tick], timetable: _Timetable) -> Iterator[tuple[list[Tick], int]]:
    batch: list[Tick] = []
    until_msc = last_due_msc = 0
    for read in ticks:
        due_msc = timetable.due(read)
        tick = timetable.stamp(read, due_msc)
        is_full = len(batch) >= BATCH_TICKS_MAX or due_msc >= until_msc
        if batch and is_full and tick.time_msc != batch[-1].time_msc:
            yield batch, last_due_msc
            batch = []
        if not batch:
            until_msc = max(due_msc + WINDOW_MSC, timetable.elapsed_msc())
            last_due_msc = due_msc
        batch.append(tick)
        last_due_msc = max(last_due_msc, due_msc)
    if batch:
        yield batch, last_due_msc


@contextmanager
def _telling_what_was_taken(report: Report) -> Iterator[None]:
    try:
        yield
    except (GfilError, KeyboardInterrupt) as error:
        detail = error.detail if isinstance(error, GfilError) else "stopped"
        taken = report.inserted + report.duplicates
        if not taken and isinstance(error, BadParameter | BadRequest | Refused):
            raise
        raise Stopped(f"{detail}; {taken} ticks before were taken" if taken else detail) from None


def _count(report: Report, ticks: Any, answer: dict[str, Any]) -> None:
    report.rows += answer["rows"]
    report.inserted += answer["inserted"]
    report.duplicates += answer["duplicates"]
    report.rejected += answer["rejected"]
    report.reasons.update(answer["reasons"])
    room = ERRORS_MAX - len(report.errors)
    report.errors += [error | {"row": ticks[error["row"]].row} for error in answer["errors"][:room]]
    for warning in answer["warnings"]:
        report.warn(warning)
    report.last_ticks.update(answer["last"])
    report.has_changed |= bool(answer["inserted"])
    report.change = answer["change"]


def _show(time_msc: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time_msc // 1000))
