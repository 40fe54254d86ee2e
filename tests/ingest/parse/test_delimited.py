"""Tests of gfil/ingest/parse/delimited.py: lines of cells to rows, and refusals."""

import pytest

from tests.ingest.reading import read_rows

HEADER = b"time,open,high,low,close,volume\n"
DAY = 1709251200  # 2024-03-01
GOOD = b"2024-03-01,1,2,0.5,1.5,7\n"
GOOD_ROW = (DAY, False, 1.0, 2.0, 0.5, 1.5, 7.0, "", "")


@pytest.mark.parametrize(
    ("line", "volume"),
    [
        (b"2024-03-01,1,2,0.5,1.5,7", 7),
        (b" 2024-03-01 , 1 , 2 , 0.5 , 1.5 , 7 ", 7),
        (b'"2024-03-01","1","2","0.5","1.5","7"', 7),
        (b'2024-03-01,1,"2",0.5,1.5,7', 7),
        (b"2024-03-01,+1,2.,.5,15e-1,7", 7),
        (b"2024-03-01,1,2,0.5,1.5,", 0),
        (b"2024-03-01,1,2,0.5,1.5,7,", 7),
        (b"2024-03-01,1,2,0.5,1.5,7,,,", 7),
    ],
)
def test_good_line_is_a_row(line: bytes, volume: float) -> None:
    rows, refused = read_rows(HEADER + line + b"\n" + GOOD)
    assert (rows, refused) == ([(2, *GOOD_ROW[:6], volume, "", ""), (3, *GOOD_ROW)], [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"2024-03-01,1,2,0.5,1.5", "missing_field"),
        (b"2024-03-01,1,2,0.5", "missing_field"),
        (b"2024-03-01,1,2,0.5,1.5,7,8", "missing_field"),
        (b"2024-03-01,1,,0.5,1.5,7", "missing_field"),
        (b",1,2,0.5,1.5,7", "missing_field"),
        (b"oops", "missing_field"),
        (b"2024-03-32,1,2,0.5,1.5,7", "bad_time"),
        (b"yesterday,1,2,0.5,1.5,7", "bad_time"),
        (b"2024-03-01,1,2,0.5,1_5,7", "not_a_number"),
        (b"2024-03-01,1,2,0x5,1.5,7", "not_a_number"),
        (b"2024-03-01,1,2,0.5,1.5,many", "not_a_number"),
        (b"2024-03-01,1,nan,0.5,1.5,7", "not_finite"),
        (b"2024-03-01,1,2,-inf,1.5,7", "not_finite"),
        (b"2024-03-01,1,2,0.5,1.5,1e999", "not_finite"),
        (b"2024-03-01,1,2,1.2,1.5,7", "low_high"),
        (b"2024-03-01,1,1.4,0.5,1.5,7", "low_high"),
        (b"2024-03-01,1,0.5,2,1.5,7", "low_high"),
        (b"2024-03-01,1,2,0.5,1.5,-1", "negative_volume"),
        (b"2024-03-01,1,1e12,0.5,1.5,7", "too_large"),
        (b"2024-03-01,1,2,-1e12,1.5,7", "too_large"),
        (b"2024-03-01,1,2,0.5,1.5,1e15", "too_large"),
    ],
)
def test_bad_line_is_reported_and_others_kept(line: bytes, reason: str) -> None:
    rows, refused = read_rows(HEADER + GOOD + line + b"\n" + GOOD)
    assert rows == [(2, *GOOD_ROW), (4, *GOOD_ROW)]
    assert refused == [(3, reason, line.decode())]


def test_negative_prices_are_legal() -> None:
    rows, refused = read_rows(HEADER + b"2020-04-20,10,12,-40.32,-37.63,7\n")
    assert (rows[0][3:7], refused) == ((10, 12, -40.32, -37.63), [])


def test_blank_lines_and_repeated_headers_are_skipped() -> None:
    data = HEADER + GOOD + b"\n   \n" + HEADER + GOOD + b"\n"
    rows, refused = read_rows(data)
    assert ([row[0] for row in rows], refused) == ([2, 6], [])


def test_broken_quote_costs_one_line() -> None:
    rows, refused = read_rows(HEADER + GOOD + b'2024-03-01,"1,2,0.5,1.5,7\n' + GOOD)
    assert [row[0] for row in rows] == [2, 4]
    assert [(row, reason) for row, reason, _ in refused] == [(3, "missing_field")]


def test_further_cells_are_ignored() -> None:
    data = 'note,time,open,high,low,close\n"größer, als",2024-03-01,1,2,0.5,1.5\n'.encode()
    rows, refused = read_rows(data)
    assert (rows, refused) == ([(2, *GOOD_ROW[:6], 0.0, "", "")], [])


def test_lines_of_different_lengths_are_detected() -> None:
    # As many cells as three good lines, but shifted.
    data = b"1704067200,1,2,0.5,1.5,10\n1704067260,1.5,2,0.5\n1,10,1704067320,1,1,1,1,0\n"
    rows, refused = read_rows(data)
    assert [row[0] for row in rows] == [1]
    assert [row[:2] for row in refused] == [(2, "missing_field"), (3, "missing_field")]
