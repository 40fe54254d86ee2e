"""Tests of gfil/ingest/load/series.py: the series of a row, and the limits of the cache."""

import pytest

from gfil.clocks import UTC
from gfil.ingest.load import series
from gfil.ingest.load.series import Series, SeriesHint, SeriesSplitter
from gfil.timeframes import H1, M1

NOW = 1709251200


def make(hint: SeriesHint) -> SeriesSplitter:
    return SeriesSplitter(hint, UTC, NOW, lambda *_: None, lambda name: None)


def name(found: Series | str) -> tuple[str, str] | str:
    return (found.symbol, found.timeframe.name) if isinstance(found, Series) else found


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (("EURUSD", "H1"), ("EURUSD", "H1")),
        ((" EURUSD ", ""), ("EURUSD", "M1")),
        (("", "h1"), ("GBPUSD", "H1")),
        (("eurusd", ""), "symbol_case"),
        (("EUR USD", ""), "bad_symbol"),
        (("EURUSD", "X7"), "missing_field"),
    ],
)
def test_cells_name_the_series_and_the_hint_fills_blanks(
    cells: tuple[str, str], found: tuple[str, str] | str
) -> None:
    sorter = make(SeriesHint("GBPUSD", M1, "--tf"))
    sorter._find_series(("EURUSD", "H1"))
    assert name(sorter._find_series(cells)) == found
    assert sorter._find_series(cells) == sorter._find_series(cells)


def test_padded_names_are_one_series_and_are_not_cached() -> None:
    sorter = make(SeriesHint(None, M1, "--tf"))
    plain = sorter._find_series(("EURUSD", ""))
    for blanks in (1, 50, 60, 1000, 60_000):
        assert sorter._find_series(("EURUSD" + " " * blanks, "")) is plain
    for length in (60, 100, 60_000):
        assert sorter._find_series(("?" * length, "")) == "bad_symbol"
    kept = [sum(map(len, cells)) for cells in sorter._cache]
    assert max(kept) <= series.CACHED_LENGTH_MAX
    assert len(kept) == 4


def test_number_of_series_and_cache_size_are_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(series, "SERIES_MAX", 3)
    sorter = make(SeriesHint(None, M1, "--tf"))
    for blanks in range(5):
        assert name(sorter._find_series(("A" + " " * blanks, ""))) == ("A", "M1")
    found = [name(sorter._find_series(cells)) for cells in (("B", ""), ("B", "H1"), ("C", ""))]
    assert found == [("B", "M1"), ("B", H1.name), "missing_field"]
    assert name(sorter._find_series(("B", "H1"))) == ("B", "H1")
    assert len(sorter._cache) == 3
