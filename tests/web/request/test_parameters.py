"""Parameters: each kind parsed, and every mistake refused with the name of the parameter."""

from typing import Any

import pytest
from werkzeug.datastructures import MultiDict

from gfil import clocks, timeframes
from gfil.errors import BadParameter
from gfil.web.request.parameters import (
    CLOCK,
    CURSOR,
    FROM,
    SYMBOL,
    TF,
    Parameter,
    QueryParser,
    check_range,
    choice,
    flag,
    integer,
    number,
    text,
)
from gfil.web.request.schema import TEXT, array

LIMIT = integer("limit", "A limit.", 1, 10_000, 500)
KIND = choice("kind", "A kind.", ("a", "b"), "a")
DRY_RUN = flag("dry_run", "A flag.")
SPACING = number("spacing", "A number.")
NAMES = Parameter("name", "Names.", array(TEXT), list, argument="names", is_list=True)
IN_PATH = text("path", "In the path.", place="path", required=True)
PARSER = QueryParser([SYMBOL, TF, FROM, CLOCK, CURSOR, LIMIT, KIND, DRY_RUN, SPACING, NAMES])
DEFAULTS: dict[str, Any] = {
    "symbol": "X",
    "tf": timeframes.M1,
    "start": None,
    "clock": clocks.UTC,
    "cursor": None,
    "limit": 500,
    "kind": "a",
    "dry_run": False,
    "spacing": None,
    "names": None,
}


def parse(**given: str | list[str]) -> dict[str, Any]:
    return PARSER.parse(MultiDict({"symbol": "X", "tf": "M1", **given}))


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ({}, {}),
        ({"from": "60"}, {"start": 60}),
        ({"from": "1970-01-01T00:01"}, {"start": 60}),
        ({"clock": "nyclose"}, {"clock": clocks.parse("nyclose")}),
        ({"limit": "10000"}, {"limit": 10_000}),
        ({"kind": "b"}, {"kind": "b"}),
        ({"dry_run": "1"}, {"dry_run": True}),
        ({"dry_run": "true"}, {"dry_run": True}),
        ({"dry_run": "0"}, {"dry_run": False}),
        ({"spacing": "7.5"}, {"spacing": 7.5}),
        ({"name": ["a", "b"]}, {"names": ["a", "b"]}),
        ({"clock": "", "limit": "", "kind": "", "from": ""}, {}),
    ],
)
def test_parameters_are_parsed_and_blank_ones_get_their_default(
    given: dict[str, str], parsed: dict[str, Any]
) -> None:
    assert parse(**given) == DEFAULTS | parsed


@pytest.mark.parametrize(
    ("given", "parameter", "sentence"),
    [
        ({"symbol": ""}, "symbol", "symbol is missing"),
        ({"tf": "M7"}, "tf", "unknown timeframe 'M7'"),
        ({"tf": ["M1", "M1"]}, "tf", "tf is given 2 times"),
        ({"limit": "0"}, "limit", "limit must be a whole number from 1 to 10,000"),
        ({"limit": "9" * 19}, "limit", "limit must be a whole number from 1 to 10,000"),
        ({"kind": "c"}, "kind", "kind must be one of a b, not 'c'"),
        ({"dry_run": "yes"}, "dry_run", "dry_run must be one of 0 1 false true, not 'yes'"),
        ({"spacing": "nan"}, "spacing", "spacing must be a number above 0"),
        ({"spacing": "-1"}, "spacing", "spacing must be a number above 0"),
        ({"spacing": "wide"}, "spacing", "spacing must be a number above 0"),
        ({"lmit": "5"}, "lmit", "unknown parameter 'lmit': this route has symbol tf from clock"),
        ({"x" * 99: "5"}, "x" * 14, f"unknown parameter {'x' * 14!r}"),
    ],
)
def test_wrong_parameter_is_refused_by_name(
    given: dict[str, Any], parameter: str, sentence: str
) -> None:
    with pytest.raises(BadParameter) as refused:
        parse(**given)
    assert refused.value.detail.startswith(sentence)
    assert refused.value.extra == {"parameter": parameter}


def test_route_without_parameters_refuses_any() -> None:
    with pytest.raises(BadParameter, match="this route has no parameters"):
        QueryParser([IN_PATH]).parse(MultiDict({"path": "x"}))


def test_defaults_exist_only_where_nothing_is_required() -> None:
    assert QueryParser([LIMIT, IN_PATH]).defaults == {"limit": 500}
    assert PARSER.defaults is None


def test_range_may_be_empty_or_open_but_not_reversed() -> None:
    check_range(5, 5)
    check_range(None, 5)
    check_range(5, None)
    with pytest.raises(BadParameter, match="from is after to"):
        check_range(6, 5)
