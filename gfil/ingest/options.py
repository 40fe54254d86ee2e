"""Options of an import: what the user states about the input and how to store it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from gfil.clocks import Clock
from gfil.timeframes import Timeframe

KindName = Literal["candles", "ticks"]
"""The name of a `parse.columns.Kind`."""


class Options(NamedTuple):
    """Options of an import; None where the input itself must show the value.

    The clock is the one given here, else the one in a JSON head, else UTC. `kind`: the other kind
    of rows is refused. `abort`: one refused row refuses the whole input. `fill`: stored candles
    are not replaced. `force_timeframe`: rows that contradict the timeframe are stored too.
    """

    symbol: str | None = None
    timeframe: Timeframe | None = None
    clock: Clock | None = None
    format: str | None = None
    columns: Sequence[str] | None = None
    kind: KindName | None = None
    abort: bool = False
    fill: bool = False
    dry_run: bool = False
    force_timeframe: bool = False
