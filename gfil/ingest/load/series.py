"""Rows by series: symbol and timeframe from options, columns or the file name, and checked."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import apsw

from gfil import timeframes
from gfil.clocks import Clock
from gfil.errors import BadParameter, Option, Refused
from gfil.ingest.detect import timeframe_check
from gfil.ingest.load.bucketing import (
    BucketedRows,
    Bucketer,
    RowColumns,
    to_candles,
    to_ticks,
)
from gfil.ingest.parse import rows as row_tables
from gfil.ingest.parse.columns import CANDLES, TICKS, Kind
from gfil.ingest.parse.rows import RowTable
from gfil.ingest.refusals import Refuse
from gfil.ingest.report import Report
from gfil.store import symbols
from gfil.timeframes import MINUTE, Timeframe, UnknownTimeframe

SERIES_MAX = 10_000  # symbols times timeframes in one input
SECOND = Timeframe(-1, "tick", 1)  # the bucket of a tick is its second
CACHED_LENGTH_MAX = 64  # characters of cells; blanks can make a cell as long as a line

Cells = tuple[str, str]
"""The symbol and timeframe columns of a row; blank where the row has none."""

SeriesBatch = tuple[str, Timeframe | None, RowColumns]
"""Rows of one symbol and timeframe, or ticks of one symbol."""


class SeriesHint(NamedTuple):
    """The symbol and timeframe of rows that do not name their own.

    `timeframe_source` says where the timeframe comes from, for errors.
    """

    symbol: str | None = None
    timeframe: Timeframe | None = None
    timeframe_source: str | Option = ""
    force_timeframe: bool = False


@dataclass(slots=True)
class Series:
    """One symbol and timeframe, or the ticks of one symbol, with the state of its bucketing."""

    symbol: str
    timeframe: Timeframe | None
    bucketer: Bucketer
    timeframe_source: str | Option
    sample: list[int] = field(default_factory=list)

    def check_spacing(self, times: list[int]) -> None:
        """Compare the spacing of the rows with their timeframe.

        Raises:
            Refused: the spacing contradicts the timeframe.
        """
        if self.timeframe is None:
            return
        room = timeframe_check.SAMPLE_ROWS - len(self.sample)
        if room <= 0:
            return
        self.sample += times[:room]
        if timeframe_check.contradicts(self.sample, self.timeframe):
            step = timeframe_check.format_step(timeframe_check.find_step(self.sample) or 0)
            says = f" says {self.timeframe.name}"
            raise Refused((f"rows are {step} apart; ", self.timeframe_source, says))


class SeriesReader:
    """Checks each row, sorts rows into series and buckets, and counts them in the report.

    Raises:
        BadSymbol: the hint is no possible symbol.
        SymbolCase: the symbol of the hint differs from a known one only in case.
    """

    def __init__(
        self,
        db: apsw.Connection | None,
        hint: SeriesHint,
        clock: Clock,
        report: Report,
        kind: Kind,
        *,
        now: float,
    ) -> None:
        self._db = db
        self._report = report
        self._check = row_tables.check_ticks if kind == TICKS else row_tables.check_candles
        if hint.symbol:
            known = self._find_known_name(symbols.check_name(hint.symbol))
            if known not in (None, hint.symbol):
                raise symbols.SymbolCase(hint.symbol, known or "")
        self._splitter = SeriesSplitter(
            hint, clock, now, report.refuse, self._find_known_name, kind
        )

    def take(self, table: RowTable) -> list[SeriesBatch]:
        """Return the good rows of a table in their buckets; refuse the others.

        Raises:
            BadParameter, Refused: as `SeriesSplitter.split`.
        """
        return self._count(self._splitter.split(self._check(table, self._report.refuse)))

    def finish(self) -> list[SeriesBatch]:
        """Return the rows that were held back until later rows were known."""
        return self._count(self._splitter.finish())

    def _count(self, batches: Iterable[SeriesBatch]) -> list[SeriesBatch]:
        counted = list(batches)
        for batch in counted:
            self._report.count_good(*batch)
        return counted

    def _find_known_name(self, name: str) -> str | None:
        symbol = symbols.find(self._db, name) if self._db else None
        return symbol.name if symbol else None


class SeriesSplitter:
    """Sorts rows into series and puts the rows of each series into their buckets.

    `find_known_name` returns the name of a stored symbol, given in any case.
    """

    def __init__(
        self,
        hint: SeriesHint,
        clock: Clock,
        now: float,
        refuse: Refuse,
        find_known_name: Callable[[str], str | None],
        kind: Kind = CANDLES,
    ) -> None:
        self._is_on_ticks = kind == TICKS
        self._hint = hint
        self._clock = clock
        self._now = now
        self._refuse = refuse
        self._find_known_name = find_known_name
        self._series: dict[tuple[str, str], Series] = {}
        self._cache: dict[Cells, Series | str] = {}
        self._spelling: dict[str, str] = {}

    def split(self, table: RowTable) -> Iterator[SeriesBatch]:
        """Yield the rows of each series in their buckets; refuse rows without a series.

        Raises:
            BadParameter: neither a column nor the hint names the symbol or the timeframe.
            Refused: the rows contradict their timeframe.
        """
        for series, rows in self._split_table(table):
            if not self._hint.force_timeframe:
                series.check_spacing(rows.time)
            yield series.symbol, series.timeframe, self._convert(series.bucketer.put(rows))

    def finish(self) -> Iterator[SeriesBatch]:
        """Yield the rows that were held back until later rows were known."""
        for series in self._series.values():
            bucketed = series.bucketer.finish()
            if bucketed is not None:
                yield series.symbol, series.timeframe, self._convert(bucketed)

    def _convert(self, bucketed: BucketedRows) -> RowColumns:
        return to_ticks(bucketed) if self._is_on_ticks else to_candles(bucketed)

    def _split_table(self, table: RowTable) -> Iterator[tuple[Series, RowTable]]:
        if not len(table):
            return
        self._check_hint(table)
        for cells, indices in _group_by_cells(table).items():
            series = self._find_series(cells)
            rows = table.take(indices) if indices else table
            if isinstance(series, Series):
                yield series, rows
                continue
            for row in rows.row:
                self._refuse(row, series, table.text(row))

    def _check_hint(self, table: RowTable) -> None:
        if not self._is_on_ticks and table.timeframe is None and self._hint.timeframe is None:
            advice = _suggest_timeframe(table.time)
            raise BadParameter(("the timeframe is unknown: name it with ", Option("tf"), advice))
        if table.symbol is None and self._hint.symbol is None:
            raise BadParameter(("the symbol is unknown: name it with ", Option("symbol")))

    def _find_series(self, cells: Cells) -> Series | str:
        series = self._cache.get(cells)
        if series is None:
            series = self._resolve(*cells)
            is_short = sum(map(len, cells)) <= CACHED_LENGTH_MAX
            if is_short and len(self._cache) < SERIES_MAX:
                self._cache[cells] = series
        return series

    def _resolve(self, symbol: str, timeframe: str) -> Series | str:
        # Returns the series, or the reason to refuse its rows.
        name = symbol.strip() or self._hint.symbol
        if name is None:
            return "missing_field"
        if not symbols.NAME.fullmatch(name):
            return "bad_symbol"
        spelling = self._spelling.get(name.casefold()) or self._find_known_name(name) or name
        if spelling != name:
            return "symbol_case"
        if self._is_on_ticks:
            return self._series.get((name, "")) or self._create(name, None, "")
        try:
            parsed = timeframes.parse(timeframe) if timeframe.strip() else self._hint.timeframe
        except UnknownTimeframe:
            return "missing_field"
        if parsed is None:
            return "missing_field"
        return self._series.get((name, parsed.name)) or self._create(name, parsed, timeframe)

    def _create(self, name: str, timeframe: Timeframe | None, cell: str) -> Series | str:
        if len(self._series) >= SERIES_MAX:
            return "missing_field"
        self._spelling[name.casefold()] = name
        source = "its column" if cell.strip() else self._hint.timeframe_source
        if timeframe is None:
            # A feed may swap ticks of neighbouring seconds without a change of its clock.
            bucketer = Bucketer(
                SECOND, self._clock, self._now, self._refuse, earliest=0, disorder_s=MINUTE
            )
        else:
            bucketer = Bucketer(timeframe, self._clock, self._now, self._refuse)
        series = Series(name, timeframe, bucketer, source)
        self._series[name, timeframe.name if timeframe else ""] = series
        return series


def _group_by_cells(table: RowTable) -> dict[Cells, list[int]]:
    # The indices of the rows by their cells; an empty list stands for all rows.
    if table.symbol is None and table.timeframe is None:
        return {("", ""): []}
    blank = [""] * len(table)
    cells = list(zip(table.symbol or blank, table.timeframe or blank, strict=True))
    indices: dict[Cells, list[int]] = {cell: [] for cell in dict.fromkeys(cells)}
    if len(indices) > 1:
        for index, cell in enumerate(cells):
            indices[cell].append(index)
    return indices


def _suggest_timeframe(times: list[int]) -> str:
    step = timeframe_check.find_step(times)
    timeframe = timeframe_check.find_timeframe(step) if step else None
    if step is None or timeframe is None:
        return ""
    return f"; rows are {timeframe_check.format_step(step)} apart, like those of {timeframe.name}"
