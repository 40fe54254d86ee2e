"""Refusals of rows: the reason of each, and the callback that counts it."""

from collections.abc import Callable

TEXT_MAX = 200  # characters of a refused row that a report shows

Refuse = Callable[[int, str, str], None]
"""Counts a refused row: its number, the reason, its text."""


class BadRow(Exception):
    """A row or a cell is refused; `reason` is one of the codes in docs/importing.md."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
