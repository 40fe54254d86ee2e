"""Rows by symbol and timeframe: from arguments, columns or the file's name, and checked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gfil import timeframes
from gfil.clocks import Clock
from gfil.errors import BadParameter, Option, Refused
from gfil.ingest.detect import timeframe_check
from gfil.ingest.load.bucketing import BucketedRows, Bucketer, NumberedTicks, to_candles, to_ticks
from gfil.ingest.parse.columns import CANDLES, TICKS, Kind
from gfil.ingest.parse.rows import Refuse, RowTable
from gfil.store import symbols
from gfil.store.candles.write import CandleColumns
from gfil.timeframes import MINUTE, Timeframe, UnknownTimeframe

SERIES_MAX = 10_000  # symbols times timeframes in one source
SECOND = Timeframe(-1, "tick", 1)  # ticks are placed by their second
REMEMBERED_LENGTH_MAX = 64  # characters of cells, which blanks may make as long as a line

Cells = tuple[str, str]
"""What the columns of a row say: symbol and timeframe, blank where they say nothing."""


@dataclass(frozen=True, slots=True)
class SeriesHint:
    """The symbol and timeframe of all rows; `teller` names the source of the timeframe."""

    symbol: str | None
    timeframe: Timeframe | None
    teller: str | Option
    force_timeframe: bool = False


@dataclass(slots=True)
class SeriesRows:
    """The rows of one symbol and timeframe, or its ticks."""

    symbol: str
    timeframe: Timeframe | None
    placer: Bucketer
    teller: str | Option
    sample: list[int] = field(default_factory=list)

    def check_spacing(self, times: list[int]) -> None:
        """Compare the distance of the rows with their timeframe.

        Raises:
            Refused: they contradict each other.
        """
        if self.timeframe is None:
            return
        room = timeframe_check.SAMPLE_ROWS - len(self.sample)
        if room <= 0:
            return
        self.sample += times[:room]
        if timeframe_check.contradicts(self.sample, self.timeframe):
            distance = timeframe_check.commonest(self.sample) or 0
            apart = timeframe_check.say(distance)
            says = f" says {self.timeframe.name}"
            raise Refused((f"rows are {apart} apart; ", self.teller, says))


class SeriesSplitter:
    """Sorts rows into groups and puts those of each into their buckets.

    `find_known` returns how a symbol of this name, in any case, is spelled in the database.
    """

    def __init__(
        self,
        told: SeriesHint,
        clock: Clock,
        now: float,
        refuse: Refuse,
        find_known: Callable[[str], str | None],
        kind: Kind = CANDLES,
    ) -> None:
        self._is_on_ticks = kind == TICKS
        self._told = told
        self._clock = clock
        self._now = now
        self._refuse = refuse
        self._find_known = find_known
        self._groups: dict[tuple[str, str], SeriesRows] = {}
        self._of_cells: dict[Cells, SeriesRows | str] = {}
        self._spelled: dict[str, str] = {}

    def place(self, table: RowTable) -> Iterator[tuple[SeriesRows, CandleColumns | NumberedTicks]]:
        """Yield the rows of each group in their buckets; refuse what belongs to none.

        Raises:
            BadParameter: no column and nothing told says the symbol or the timeframe.
            Refused: the rows contradict their timeframe.
        """
        for group, rows in self._split(table):
            if not self._told.force_timeframe:
                group.check_spacing(rows.time)
            yield group, self._of_kind(group.placer.place(rows))

    def finish(self) -> Iterator[tuple[SeriesRows, CandleColumns | NumberedTicks]]:
        """Yield the rows that were waiting for later ones."""
        for group in self._groups.values():
            placed = group.placer.finish()
            if placed is not None:
                yield group, self._of_kind(placed)

    def _of_kind(self, placed: BucketedRows) -> CandleColumns | NumberedTicks:
        return to_ticks(placed) if self._is_on_ticks else to_candles(placed)

    def _split(self, table: RowTable) -> Iterator[tuple[SeriesRows, RowTable]]:
        if not len(table):
            return
        self._check_told(table)
        for cell, chosen in _places_of_cells(table).items():
            group = self._group_of(cell)
            rows = table.take(chosen) if chosen else table
            if isinstance(group, SeriesRows):
                yield group, rows
                continue
            for row in rows.row:
                self._refuse(row, group, table.text(row))

    def _check_told(self, table: RowTable) -> None:
        if not self._is_on_ticks and table.timeframe is None and self._told.timeframe is None:
            hint = f" names it{_suggest(table.time)}"
            raise BadParameter(("the timeframe is unknown, ", Option("tf"), hint))
        if table.symbol is None and self._told.symbol is None:
            raise BadParameter(("the symbol is unknown, ", Option("symbol"), " names it"))

    def _group_of(self, cells: Cells) -> SeriesRows | str:
        group = self._of_cells.get(cells)
        if group is None:
            group = self._resolve(*cells)
            short = sum(map(len, cells)) <= REMEMBERED_LENGTH_MAX
            if short and len(self._of_cells) < SERIES_MAX:
                self._of_cells[cells] = group
        return group

    def _resolve(self, symbol: str, timeframe: str) -> SeriesRows | str:
        name = symbol.strip() or self._told.symbol
        if name is None:
            return "missing_field"
        if not symbols.NAME.fullmatch(name):
            return "bad_symbol"
        spelled = self._spelled.get(name.casefold()) or self._find_known(name) or name
        if spelled != name:
            return "symbol_case"
        if self._is_on_ticks:
            return self._groups.get((name, "")) or self._begin(name, None, "")
        try:
            parsed = timeframes.parse(timeframe) if timeframe.strip() else self._told.timeframe
        except UnknownTimeframe:
            return "missing_field"
        if parsed is None:
            return "missing_field"
        return self._groups.get((name, parsed.name)) or self._begin(name, parsed, timeframe)

    def _begin(self, name: str, timeframe: Timeframe | None, cell: str) -> SeriesRows | str:
        if len(self._groups) >= SERIES_MAX:
            return "missing_field"
        self._spelled[name.casefold()] = name
        teller = "its column" if cell.strip() else self._told.teller
        if timeframe is None:
            # A feed may mix up seconds, and still not have changed its clock.
            placer = Bucketer(
                SECOND, self._clock, self._now, self._refuse, earliest=0, disorder_s=MINUTE
            )
        else:
            placer = Bucketer(timeframe, self._clock, self._now, self._refuse)
        group = SeriesRows(name, timeframe, placer, teller)
        self._groups[name, timeframe.name if timeframe else ""] = group
        return group


def _places_of_cells(table: RowTable) -> dict[Cells, list[int]]:
    if table.symbol is None and table.timeframe is None:
        return {("", ""): []}  # all of them
    blank = [""] * len(table)
    cells = list(zip(table.symbol or blank, table.timeframe or blank, strict=True))
    places: dict[Cells, list[int]] = {cell: [] for cell in dict.fromkeys(cells)}
    if len(places) > 1:
        for place, cell in enumerate(cells):
            places[cell].append(place)
    return places


def _suggest(times: list[int]) -> str:
    distance = timeframe_check.commonest(times)
    fitting = timeframe_check.fitting(distance) if distance else None
    if distance is None or fitting is None:
        return ""
    return f": rows are {timeframe_check.say(distance)} apart, as those of {fitting.name}"
