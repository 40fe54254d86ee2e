"""JSON stream: split one array of any length into its elements, in flat memory."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from gfil.ingest.refusals import TEXT_MAX, Refuse
from gfil.ingest.source.byte_stream import ByteStream
from gfil.ingest.source.lines import LINE_BYTES_MAX, may_be_overlong

_OUTSIDE = re.compile(rb'["\[\]{},]')
_STRING_REST = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL)  # from inside a string to its end
_BETWEEN = re.compile(rb"[}\]]\s*,\s*(?=[{\[])")
_PARTNER = {b"}": b"{", b"]": b"["}
_CLOCK = b'"clock"'
_BLANKS = b" \t\r\n"
DEPTH_MAX = 8  # nested brackets in an element with unmatched ones: each level costs another scan
RAW_MAX = 1000  # elements in one yield where each is parsed by itself


class JsonElements(NamedTuple):
    """Consecutive elements; `row` is the index of the first one in the array.

    Either `values` holds parsed elements, or `raw` their bytes, which may be invalid JSON.
    """

    row: int
    values: list[object]
    raw: list[bytes]


def read_elements(
    pieces: ByteStream, before: int, refuse: Refuse, wrapped: bool = False
) -> Iterator[JsonElements]:
    """Yield the elements of the array that begins after `before` bytes of the input.

    `wrapped`: the array is a value of an object. An element longer than `LINE_BYTES_MAX` is refused
    without being held in memory. If the input ends before the array, one row is refused as
    `truncated`.
    """
    splitter = _Splitter(refuse)
    for number, piece in enumerate(pieces):
        yield from splitter.feed(piece[before:] if number == 0 else piece)
    if not splitter.ended:
        yield from splitter.salvage()
    whole = splitter.ended and (not wrapped or splitter.last_byte == b"}")
    if not whole or pieces.cut:
        splitter.refuse_next("truncated", splitter.rest)
    elif splitter.names_clock:
        pieces.names_clock_late = True
    elif splitter.rest and not wrapped:
        pieces.warnings.append("data after the array is ignored")


class _Between:
    # Finds likely boundaries between two elements, and remembers where strings do not end: a search
    # of every element to the end of the data would take quadratic time.

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._from = 0
        self._boundary = (-1, -1)
        self._inside_from = 0
        self._quote: int | None = None
        self._backslashes = len(data) - len(data.rstrip(b"\\"))  # at the end of the data

    def find(self, at: int) -> tuple[int, int]:
        """Return the first likely boundary from `at` on: end of one element, start of the next.

        Both are the length of the data if there is no boundary.
        """
        if not self._from <= at <= self._boundary[0]:
            match = _BETWEEN.search(self._data, at)
            none = (len(self._data), len(self._data))
            self._from, self._boundary = at, match.span() if match else none
        return self._boundary

    def find_quote(self, at: int) -> int:
        """Return the position of the quote that ends the string around `at`, or the data's length.

        Searches from later positions of the same string reuse the answer: a string without an end
        is scanned once, not once for each element in it.
        """
        if self._quote is None or not self._inside_from <= at <= self._quote:
            match = _STRING_REST.match(self._data, at)
            self._inside_from, self._quote = at, match.end() - 1 if match else len(self._data)
        return self._quote

    def ends_in_escape(self, at: int) -> bool:
        """Return whether the data ends in half an escape, inside the string at `at`."""
        return min(self._backslashes, len(self._data) - at) % 2 == 1


class _Splitter:
    def __init__(self, refuse: Refuse) -> None:
        self.ended = False
        self.rest = b""  # not yet parsed; after the array, its first bytes
        self.last_byte = b""
        self.names_clock = False  # after the array
        self._tail = b""  # the last known bytes after the array
        self._refuse = refuse
        self._row = 0
        self._end = _ElementEnd()
        self._skipping = False  # an overlong element

    def refuse_next(self, reason: str, element: bytes) -> None:
        self._refuse(self._row, reason, element[: 4 * TEXT_MAX].decode("utf-8", "replace").strip())
        self._row += 1

    def feed(self, piece: bytes) -> Iterator[JsonElements]:
        self.last_byte = piece.rstrip(_BLANKS)[-1:] or self.last_byte
        if self.ended:
            self._search_after_array(piece)
            self.rest = (self.rest + piece.strip(_BLANKS))[:TEXT_MAX]
            return
        data = self.rest + piece
        if not self._skipping:
            known, data = self._parse_block(data)
            if known.values:
                yield known
                if b"}" not in data and b"]" not in data:
                    self.rest = data
                    return
        yield from self._one_by_one(data, final=False)

    def salvage(self) -> Iterator[JsonElements]:
        yield from self._one_by_one(self.rest, final=True)

    def _parse_block(self, data: bytes) -> tuple[JsonElements, bytes]:
        cut = max(data.rfind(b"},"), data.rfind(b"],"))
        if cut >= 0 and not may_be_overlong(data[:cut], b"}", b"]"):
            try:
                # If the bytes before the cut are a list of whole values, the cut lies between two
                # elements: inside a string or a nested value it would leave a bracket open.
                values = orjson.loads(b"[%b]" % data[: cut + 1])
            except orjson.JSONDecodeError:
                pass
            else:
                known = JsonElements(self._row, values, [])
                self._row += len(values)
                return known, data[cut + 2 :]
        return JsonElements(self._row, [], []), data

    def _one_by_one(self, data: bytes, final: bool) -> Iterator[JsonElements]:
        raw: list[bytes] = []
        start = 0
        between = _Between(data)
        while not self.ended:
            end, stop = self._next_end(data, start, final, between)
            if end < 0:
                break
            element = data[start:end]
            if self._skipping:
                self._skipping = False
            elif len(element) > LINE_BYTES_MAX:
                yield self._take_raw(raw)
                raw = []
                self.refuse_next("too_long", element)
            elif element.strip(_BLANKS) or data[end : end + 1] == b",":
                raw.append(element)
                if len(raw) == RAW_MAX:
                    yield self._take_raw(raw)
                    raw = []
            self.ended = data[end : end + 1] == b"]"
            start = stop
        yield self._take_raw(raw)
        self._keep(data[start:])

    def _next_end(self, data: bytes, start: int, final: bool, between: _Between) -> tuple[int, int]:
        if not self._skipping:
            self._end = _ElementEnd()
        end = self._end.find(data, start, between)
        if end >= 0 and self._end.suspect and not self._skipping and not _is_json(data[start:end]):
            end = -1
        if end < 0 and (self._end.broken or self._end.suspect or final):
            # Brackets or quotes do not match, so the end is a guess: the next likely boundary.
            first, after = between.find(start)
            if first < len(data):
                return first + 1, after
        return end, end + 1

    def _take_raw(self, raw: list[bytes]) -> JsonElements:
        elements = JsonElements(self._row, [], raw)
        self._row += len(raw)
        return elements

    def _search_after_array(self, data: bytes) -> None:
        self._tail += data
        self.names_clock |= _CLOCK in self._tail
        self._tail = self._tail[1 - len(_CLOCK) :]

    def _keep(self, rest: bytes) -> None:
        if self.ended:
            self._search_after_array(rest)
            self.rest = rest.strip(_BLANKS)[:TEXT_MAX]
        elif self._skipping:
            self.rest = b""
        elif len(rest) > LINE_BYTES_MAX:
            self.refuse_next("too_long", rest)
            self.rest, self._skipping = b"", True
        else:
            self.rest = rest


class _ElementEnd:
    def __init__(self) -> None:
        self.broken = False  # brackets do not match, so the end cannot be found
        self.suspect = False  # a string holds a likely boundary: a quote may be missing
        self._open: list[bytes] = []
        self._inside = False
        self._escaped = False

    def find(self, data: bytes, at: int, between: _Between) -> int:
        at += self._escaped
        self._escaped = False
        opened = at
        while not self.broken:
            if self._inside:
                quote = between.find_quote(at)
                if quote == len(data):
                    self._escaped = between.ends_in_escape(at)
                    return -1
                self._inside, at = False, quote + 1
                self.suspect = self.suspect or between.find(opened)[1] < quote
                continue
            match = _OUTSIDE.search(data, at)
            if match is None:
                return -1
            token, at = match[0], match.end()
            if token == b'"':
                self._inside, opened = True, at
            elif token in (b"{", b"["):
                self.broken = self._open[-1:] == [b"{"] and not _follows_a_colon(data, at - 1)
                self._open.append(token)
                self.broken |= len(self._open) > DEPTH_MAX
            elif not self._open and token in (b",", b"]"):
                return at - 1
            elif token != b",":
                self.broken = not self._open or self._open.pop() != _PARTNER[token]
        return -1


def _follows_a_colon(data: bytes, at: int) -> bool:
    return data[max(at - 64, 0) : at].rstrip(_BLANKS).endswith(b":")


def _is_json(element: bytes) -> bool:
    try:
        orjson.loads(element)
    except orjson.JSONDecodeError:
        return False
    return True
