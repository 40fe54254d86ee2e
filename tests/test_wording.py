"""Tests of gfil/wording.py."""

import pytest

from gfil import wording


def test_numbers_have_commas_between_thousands() -> None:
    assert wording.format_number(981585) == "981,585"
    assert wording.format_number(1234.56, 1) == "1,234.6"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 gaps"), (1, "1 gap"), (2, "2 gaps"), (981585, "981,585 gaps")]
)
def test_counts_agree_with_their_noun(number: int, text: str) -> None:
    assert wording.format_count(number, "gap") == text


def test_an_irregular_plural_is_given() -> None:
    assert wording.format_count(1, "entry", "entries") == "1 entry"
    assert wording.format_count(2, "entry", "entries") == "2 entries"


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (3100, "3.1 kB"),
        (1_500_000, "1.5 MB"),
        (240_000_000, "240 MB"),
        (12_340_000_000, "12.3 GB"),
    ],
)
def test_sizes_use_decimal_units(size_bytes: int, text: str) -> None:
    assert wording.format_size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (10_799, "2 h 59 min"),
        (7200, "2 h"),
        (86_400 * 3 + 4 * 3600 + 59, "3 d 4 h"),
        (86_400 * 1200, "1,200 d"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert wording.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (119, "now"), (180, "3 min ago"), (7200, "2 h ago"), (86_400 * 2, "2 d ago")],
)
def test_ages_have_one_unit(seconds: float, text: str) -> None:
    assert wording.format_age(seconds) == text


def test_long_lists_are_counted() -> None:
    assert wording.format_list(["A", "B"], 2) == "A, B"
    assert wording.format_list(["A", "B", "C", "D"], 2) == "A, B and 2 more"


@pytest.mark.parametrize(
    ("price", "before", "text"),
    [(101.0, 100.0, "+1.00%"), (99.0, 100.0, "−1.00%"), (5.0, -10.0, "+150.00%"), (1.0, 0.0, "")],
)
def test_change_of_a_price_is_a_signed_percentage(price: float, before: float, text: str) -> None:
    assert wording.format_change(price, before) == text
