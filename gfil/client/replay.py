"""Replay: post a file of ticks to a server at a multiple of its original speed."""

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
from gfil.wording import format_count

WINDOW_MSC = 250  # ticks due within this time share a request, sent when the last tick is due
BATCH_TICKS_MAX = 5000  # of overdue ticks
SPEED_MAX = 1e6

Progress = Callable[[int, str], object]
"""Receives the number of bytes posted since the last call, and the last tick's time as text."""


class Pace(NamedTuple):
    """Speed of a replay: a multiple of the original speed; None is as fast as the server accepts.

    `to_now` shifts the times: the first tick is now, the others keep their distances in time,
    divided by the speed.
    """

    speed: float | None = 1.0
    to_now: bool = False


class Stopped(GfilError):
    """A replay that ended before the end of its file."""


class _Timetable:
    # Due times in ms since the first tick; the clock starts when the first tick is read.
    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._first_msc: int | None = None
        self._start_s = 0.0
        self._start_msc = 0

    def due(self, tick: Tick) -> int:
        if self._first_msc is None:
            self._first_msc = tick.time_msc
            self._start_s, self._start_msc = time.monotonic(), time.time_ns() // 1_000_000
        since_first = tick.time_msc - self._first_msc
        return 0 if self._pace.speed is None else int(since_first // self._pace.speed)

    def shift(self, tick: Tick, due_msc: int) -> Tick:
        return tick._replace(time_msc=self._start_msc + due_msc) if self._pace.to_now else tick

    def elapsed_msc(self) -> int:
        return int((time.monotonic() - self._start_s) * 1000)

    def wait_for(self, due_msc: int) -> None:
        ahead_s = due_msc / 1000 - (time.monotonic() - self._start_s)
        if ahead_s > 0:
            time.sleep(ahead_s)


class _Source:
    # The ticks of a file in its order. Each tick of a batch stands for an equal share of its bytes.
    def __init__(self, chunks: Iterable[bytes], options: Options, name: str) -> None:
        self._read_bytes = 0
        self.posted_bytes = 0.0
        self.report, self._batches = importer.read_ticks(self._count(chunks), options, name=name)

    def _count(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._read_bytes += len(chunk)
            yield chunk

    def __iter__(self) -> Iterator[Tick]:
        for batch in self._batches:
            count = sum(len(rows.row) for _, rows in batch)
            share = (self._read_bytes - self.posted_bytes) / max(count, 1)
            series = (_list_ticks(symbol, rows) for symbol, rows in batch)
            for tick in merge(*series, key=attrgetter("row")):
                self.posted_bytes += share
                yield tick


def _list_ticks(symbol: str, rows: NumberedTicks) -> Iterator[Tick]:
    for row, *fields in zip(*rows, strict=True):
        yield Tick(row, symbol, *fields)


def run(
    chunks: Iterable[bytes],
    options: Options,
    poster: Poster,
    pace: Pace,
    *,
    name: str = "-",
    progress: Progress = lambda _bytes, _time: None,
) -> Report:
    """Post the ticks of a file, each when it is due, and return the counts of the server.

    Without `to_now` the times stay unchanged. With it no time lies in the future, because a request
    is sent when the last of its ticks is due. Ticks of one millisecond stay in one request.

    Raises:
        UnknownFormat, BadParameter: as `importer.load`; or `to_now` without a speed.
        Stopped: the server refuses, is unreachable for too long, or the user interrupts; the detail
            counts the ticks that were accepted before.
    """
    if pace.to_now and pace.speed is None:
        raise BadParameter("--now needs a --speed other than max: only one tick can be now")
    source, timetable = _Source(chunks, options, name), _Timetable(pace)
    reported_bytes = 0
    with _stopping_with_counts(source.report):
        for batch, due_msc in _batches(source, timetable):
            timetable.wait_for(due_msc)
            for ticks, answer in poster.post(batch):
                _count(source.report, ticks, answer)
            posted_bytes = round(source.posted_bytes)
            progress(posted_bytes - reported_bytes, _format_time(batch[-1].time_msc))
            reported_bytes = posted_bytes
    return source.report


# Cuts ticks into requests with their due times: ticks due within a window, or overdue ones.
def _batches(ticks: Iterable[Tick], timetable: _Timetable) -> Iterator[tuple[list[Tick], int]]:
    batch: list[Tick] = []
    until_msc = last_due_msc = 0
    for read in ticks:
        due_msc = timetable.due(read)
        tick = timetable.shift(read, due_msc)
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
def _stopping_with_counts(report: Report) -> Iterator[None]:
    try:
        yield
    except (GfilError, KeyboardInterrupt) as error:
        detail = error.detail if isinstance(error, GfilError) else "stopped"
        accepted = report.inserted + report.duplicates
        if not accepted and isinstance(error, BadParameter | BadRequest | Refused):
            raise
        if accepted:
            detail += f"; {format_count(accepted, 'tick')} accepted before"
        raise Stopped(detail) from None


def _count(report: Report, ticks: Any, answer: dict[str, Any]) -> None:
    report.rows += answer["rows"]
    report.inserted += answer["inserted"]
    report.duplicates += answer["duplicates"]
    report.rejected += answer["rejected"]
    report.reasons.update(answer["reasons"])
    free = ERRORS_MAX - len(report.errors)
    report.errors += [error | {"row": ticks[error["row"]].row} for error in answer["errors"][:free]]
    for warning in answer["warnings"]:
        report.warn(warning)
    report.last_ticks.update(answer["last"])
    report.has_changed |= bool(answer["inserted"])
    report.change = answer["change"]


def _format_time(time_msc: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time_msc // 1000))
