"""Tests of gfil/ingest/parse/numbers.py: cells to numbers, and the reason of refusals."""

from typing import Any

import pytest

from gfil.ingest.parse import numbers
from gfil.ingest.refusals import BadRow

NUMBERS = [
    *(("1.5", 1.5), ("-2", -2.0), ("+3", 3.0), (".5", 0.5), ("5.", 5.0), (" 1.5 ", 1.5)),
    *(("1e-5", 1e-5), ("1E5", 1e5), ("007", 7.0), ("-0", 0.0), ("1.5\r", 1.5)),
    ("0.1000000000000000055511151231257827", 0.1),
]
NONE = [
    *(("", "missing_field"), ("  ", "missing_field")),
    *(("abc", "not_a_number"), ("1_000", "not_a_number"), ("0x1f", "not_a_number")),
    *(("1,5", "not_a_number"), ("1.2.3", "not_a_number"), ("--1", "not_a_number")),
    *(
        ("١٢", "not_a_number"),
        ("1\x00", "not_a_number"),
        ("1 2", "not_a_number"),
        ("true", "not_a_number"),
    ),
    *(
        ("nan", "not_finite"),
        ("-Inf", "not_finite"),
        ("Infinity", "not_finite"),
        ("1e999", "not_finite"),
    ),
]


@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_number_is_read_exactly(text: str, number: float) -> None:
    assert numbers.parse(text) == number
    assert numbers.read_column([text, "1"]) == [number, 1]


@pytest.mark.parametrize(("text", "reason"), NONE)
def test_refused_cell_has_a_reason(text: str, reason: str) -> None:
    with pytest.raises(BadRow) as refused:
        numbers.parse(text)
    assert refused.value.reason == reason


@pytest.mark.parametrize("text", [text for text, reason in NONE if reason != "not_finite"])
def test_column_with_another_cell_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        numbers.read_column(["1", text])


@pytest.mark.parametrize(
    "cells", [["1,2"], ["[1", "2]"], ['"1', '2"'], ["1", "2,3"], ["null"], ["true"]]
)
def test_each_cell_is_exactly_one_number(cells: list[str]) -> None:
    with pytest.raises(ValueError):
        numbers.read_column(cells)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        *((None, "missing_field"), ("", "missing_field"), ("x", "not_a_number")),
        *((True, "not_a_number"), ([], "not_a_number"), ({}, "not_a_number")),
        *((float("nan"), "not_finite"), (float("-inf"), "not_finite"), (10**400, "not_finite")),
    ],
)
def test_refused_json_value_has_a_reason(value: Any, reason: str) -> None:
    with pytest.raises(BadRow) as refused:
        numbers.parse_value(value)
    assert refused.value.reason == reason


def test_json_values_are_numbers_or_texts_of_numbers() -> None:
    assert [numbers.parse_value(value) for value in (1, 2.5, "3.5")] == [1.0, 2.5, 3.5]
    assert numbers.read_values([1, 2.5]) == [1, 2.5]
    assert numbers.read_values(["1", "2.5"]) == [1, 2.5]
    for mixed in ([1, "2"], [1, True], [1, None]):
        with pytest.raises(ValueError):
            numbers.read_values(mixed)
