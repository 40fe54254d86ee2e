"""Ticks, of MetaTrader 5, as CSV or as JSON: told from candles, not importable yet."""

from gfil.ingest.head import Format, Head
from gfil.ingest.header import read_words
from gfil.ingest.jsonhead import read_opening, read_sample

NAME = "ticks"
REFUSAL = "ticks: not importable yet"


def recognise(head: Head) -> Format | None:
    """Return the format of rows that have bid and ask where candles have prices."""
    words = _json_keys(head) if head.is_json else read_words(head)[1]
    if {"bid", "ask"} <= set(words) and not {"open", "close"} & set(words):
        return Format(NAME, words, None, kind="ticks", refusal=REFUSAL)
    return None


def _json_keys(head: Head) -> list[str]:
    opening = read_opening(head)
    if opening is not None and opening.key != "ticks":
        return []
    sample = read_sample(head, opening.before if opening else head.data.find(b"[") + 1)
    first = sample.values[0] if sample and sample.values else None
    return list(first) if isinstance(first, dict) else []
