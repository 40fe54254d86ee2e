"""The spool: ticks on the disk of this machine until GFIL has stored them.

Each file `SERIAL-RANDOM.ticks` is one batch, sent as one request; the name without the suffix is
its idempotency key. A file is a sequence of records: a header `LENGTH CRC32\\n` in hexadecimal,
then LENGTH bytes of CSV lines. Each record is synced to the disk.
"""

import os
import time
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from scripts.pump.log import LOG

BATCH_TICKS = 5000
HEADER_BYTES = 18


class Batch(NamedTuple):
    """The ticks of one request."""

    idempotency_key: str
    lines: list[bytes]


class Spool:
    """Batches of ticks in a folder, oldest first.

    A power cut may tear the last record of a file. The pump then reads from the terminal all that
    GFIL has not confirmed, so `newest_msc` is empty after a damaged file.
    """

    def __init__(self, folder: Path, bytes_max: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._bytes_max = bytes_max
        self._file: Any = None  # the batch that grows
        self._file_ticks = 0
        self._paths = deque(sorted(folder.glob("*.ticks")))
        self.size_bytes = 0
        self.tick_count = 0
        self.newest_msc: dict[str, int] = {}  # of each symbol
        self._count_batches()

    def _count_batches(self) -> None:
        is_damaged = False
        for path in self._paths:
            lines, is_whole = _read_batch(path)
            self.size_bytes += path.stat().st_size
            self.tick_count += len(lines)
            self.newest_msc |= newest_times_msc(lines)
            if not is_whole:
                is_damaged = True
                LOG.warning(
                    "%s has a damaged end: the pump reads its ticks from the terminal again",
                    path.name,
                )
        if is_damaged:
            self.newest_msc = {}

    def append(self, lines: Sequence[bytes]) -> None:
        """Write ticks and sync them; raise OSError if the spool or the disk is full."""
        if lines and self.size_bytes + sum(map(len, lines)) > self._bytes_max:
            raise OSError(f"--spool-mb {self._bytes_max / 1e6:g}")
        for start in range(0, len(lines), BATCH_TICKS):
            part = lines[start : start + BATCH_TICKS]
            if self._file_ticks + len(part) > BATCH_TICKS:
                self.close_batch()
            self._write_record(b"".join(part))
            self._file_ticks += len(part)
            self.tick_count += len(part)

    def _write_record(self, payload: bytes) -> None:
        if self._file is None:
            self._file = self._create_file()
        record = b"%08x %08x\n" % (len(payload), zlib.crc32(payload)) + payload
        written = self._file.write(record)
        if written > 0 and self._file.tell() == written:  # the first record of the file
            self._paths.append(Path(self._file.name))
        self.size_bytes += written
        if written < len(record):
            raise OSError("the disk is full")
        os.fsync(self._file.fileno())

    def _create_file(self) -> Any:
        newest_serial = int(self._paths[-1].name.split("-")[0]) if self._paths else 0
        serial = max(newest_serial + 1, time.time_ns() // 1_000_000)
        path = self._folder / f"{serial:013d}-{os.urandom(6).hex()}.ticks"
        return path.open("xb", buffering=0)

    def close_batch(self) -> None:
        """Close the batch that grows, so that the next ticks begin another; keep an empty file."""
        if self._file is not None and self._file.tell():
            self._file.close()
            self._file = None
            self._file_ticks = 0

    def first(self) -> Batch | None:
        """Return the oldest batch, which does not grow from then on."""
        if not self._paths:
            return None
        if len(self._paths) == 1:
            self.close_batch()
        path = self._paths[0]
        lines, _ = _read_batch(path)
        return Batch(path.stem, lines)

    def drop_first(self, tick_count: int) -> None:
        """Delete the oldest batch, which has `tick_count` ticks."""
        path = self._paths.popleft()
        self.size_bytes -= path.stat().st_size
        self.tick_count -= tick_count
        with suppress(OSError):  # a virus scanner may lock it: the next start sends the batch again
            path.unlink()


def newest_times_msc(lines: Iterable[bytes]) -> dict[str, int]:
    """Return the newest time of each symbol in lines of a spool."""
    newest: dict[str, int] = {}
    for line in lines:
        symbol, time_msc, _ = line.decode().split(",", 2)
        newest[symbol] = max(int(time_msc), newest.get(symbol, 0))
    return newest


def _read_batch(path: Path) -> tuple[list[bytes], bool]:
    data = path.read_bytes()
    lines: list[bytes] = []
    start = 0
    while start < len(data):
        payload = _read_record(data, start)
        if payload is None:
            return lines, False
        lines += payload.splitlines(keepends=True)
        start += HEADER_BYTES + len(payload)
    return lines, True


def _read_record(data: bytes, start: int) -> bytes | None:
    payload_start = start + HEADER_BYTES
    try:
        length, checksum = (int(word, 16) for word in data[start:payload_start].split())
    except ValueError:
        return None
    payload = data[payload_start : payload_start + length]
    is_whole = length > 0 and len(payload) == length and zlib.crc32(payload) == checksum
    return payload if is_whole else None
