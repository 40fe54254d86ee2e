"""Symbol and timeframe in a file name."""

import re
from pathlib import PurePath
from typing import NamedTuple

from gfil import timeframes
from gfil.ingest.source.files import GZIP_SUFFIX, SUFFIXES
from gfil.timeframes import Timeframe, UnknownTimeframe

_HISTDATA = re.compile(r"DAT_[A-Z]+_")  # DAT_ASCII_EURUSD_M1_201701
_JFOREX = re.compile(r"(.+?)_Candlestick_([0-9]+)_(M|m|H|h|Hour|D|d)(?:_.*)?")
_TICKS = re.compile(r"(.+?)[_\-, ](?:ticks?(?:[_\-, ].*)?|[0-9]{8,12}_[0-9]{8,12})", re.IGNORECASE)
_WORD = re.compile(r"[^_\-, ]+")
_LETTERS_FIRST = re.compile(r"(mn|m|h|d|w)([1-9][0-9]?)", re.IGNORECASE)
_COUNT_FIRST = re.compile(r"[1-9][0-9]{0,3}[mhdwMHDW]|[1-9][0-9]{0,4}|[DW]")
_SPELLED_OUT = {"daily": "D1", "weekly": "W1", "monthly": "MN1"}
_TOGETHER = re.compile(
    r"([A-Z#][A-Za-z0-9.#]+?)(43200|10080|1440|240|60|30|15|5|1)"
)  # MetaTrader 4's
_TOGETHER_IN_LETTERS = re.compile(r"([A-Z]{6,})(M1|M5|M15|M30|H1|H4|D1|W1|MN1)")

_LIKE_A_PAIR = re.compile(r"[A-Za-z]{6,}")


class FileNameHint(NamedTuple):
    """Symbol and timeframe in a file name; None where it has none."""

    symbol: str | None
    timeframe: Timeframe | None


def read_hint(name: str, timeframe: Timeframe | None = None) -> FileNameHint:
    """Return symbol and timeframe of `XAUUSD_1m.json`, `EURUSD1440.csv`, `ETH_BTC-5m.json` …

    If `timeframe` is already known, digits that name another one belong to the symbol.
    """
    stem = _stem(name)
    if match := _JFOREX.fullmatch(stem):
        return FileNameHint(match[1], _parse(match[2] + match[3][0].lower()))
    stem = _HISTDATA.sub("", stem, count=1)
    seen_number = False
    words = list(_WORD.finditer(stem))[1:]
    if words and len(words[-1][0]) > 1 and not words[-1][0].isdigit():
        words.insert(0, words[-1])  # the last word is the most certain: GOLD_D_H1
    for word in words:
        named = _parse_word(word[0])
        if named is not None and not (seen_number and word[0].isdigit()):
            return FileNameHint(stem[: word.start()].rstrip("_-, "), named)
        seen_number |= word[0].isdigit()  # parts of a date
    for together in (_TOGETHER_IN_LETTERS, _TOGETHER):
        match = together.fullmatch(stem)
        named = _parse(match[2]) if match else None
        if match and (timeframe in (None, named) or _LIKE_A_PAIR.fullmatch(match[1])):
            return FileNameHint(match[1], named)
    return FileNameHint(None, None)


def read_tick_hint(name: str) -> str | None:
    """Return the symbol in the name of a tick file, or None.

    Such names are `XAUUSD_ticks_20140505.csv`, and `XAUUSD_202405010000_202405312359.csv` of
    MetaTrader 5.
    """
    match = _TICKS.fullmatch(_stem(name))
    return match[1] if match else None


def _stem(name: str) -> str:
    name = PurePath(name).name
    if name.casefold().endswith(GZIP_SUFFIX):
        name = name[: -len(GZIP_SUFFIX)]
    suffix = PurePath(name).suffix
    return name.removesuffix(suffix) if suffix.casefold() in SUFFIXES else name


def _parse_word(word: str) -> Timeframe | None:
    if match := _LETTERS_FIRST.fullmatch(word):
        return _parse(match[1].upper() + match[2])
    if _COUNT_FIRST.fullmatch(word):
        return _parse(word)
    return _parse(_SPELLED_OUT.get(word.casefold(), ""))


def _parse(text: str) -> Timeframe | None:
    try:
        return timeframes.parse(text)
    except UnknownTimeframe:
        return None
