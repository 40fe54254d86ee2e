"""`/docs`: formatting of JSON and of code in texts."""

import json

import pytest

from gfil.web.pages.docs import format_json, mark_code


@pytest.mark.parametrize("value", [{}, [], {"a": [1, [2, None]], "b": {"c": "ä"}}, "x", 1.5])
def test_formatted_json_is_the_same_json(value: object) -> None:
    assert json.loads(format_json(value)) == value


def test_arrays_of_plain_values_stay_on_one_line() -> None:
    assert format_json({"rows": [[1, 2], [3]]}) == '{\n  "rows": [\n    [1, 2],\n    [3]\n  ]\n}'


def test_backticks_become_code_and_text_is_escaped() -> None:
    assert mark_code("`a < b` & c") == "<code>a &lt; b</code> &amp; c"
