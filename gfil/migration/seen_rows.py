"""Which buckets the rows of a file lie in, however many there are: a byte for each."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from gfil.timeframes import M1, Timeframe

CHUNK = 2048  # buckets side by side
SEEN = 1  # the first bit: a row lies in the bucket


class SeenRows:
    """A byte for each bucket that rows of a timeframe lie in: bits for what was found of it.

    Buckets are at least half as long as usual, so that no two have one number.
    """

    def __init__(self, timeframe: Timeframe) -> None:
        self._unit = timeframe.seconds if timeframe == M1 else timeframe.seconds // 2
        self._chunks: dict[int, bytearray] = defaultdict(lambda: bytearray(CHUNK))

    def mark(self, times: Iterable[int], bits: int) -> None:
        """Set bits of the buckets that start at these times."""
        chunks, unit = self._chunks, self._unit
        number, chunk = None, bytearray()
        for time in times:
            place = time // unit
            if place // CHUNK != number:
                number = place // CHUNK
                chunk = chunks[number]
            chunk[place % CHUNK] |= bits

    def has(self, time: int, bits: int) -> bool:
        """Whether any of the bits is set of the bucket that starts at a time."""
        number, place = divmod(time // self._unit, CHUNK)
        return bool(self._chunks[number][place] & bits)

    def count(self) -> Counter[int]:
        """Return how many buckets have each set of bits; none that has no bit."""
        counts: Counter[int] = Counter()
        for chunk in self._chunks.values():
            counts.update(chunk)
        del counts[0]
        return counts
