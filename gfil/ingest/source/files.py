"""Files, folders and standard input: find them, measure them, read them in chunks."""

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gfil.errors import BadParameter
from gfil.ingest.source.byte_stream import PIECE_BYTES

STANDARD_INPUT = "-"
SPOOL_BYTES = 8 * 1024 * 1024  # of standard input in memory; a longer input is copied to a file

SUFFIXES = (".csv", ".txt", ".tsv", ".json", ".ndjson", ".jsonl")
GZIP_SUFFIX = ".gz"

Progress = Callable[[int], object]
"""Receives the length of every chunk that is read."""


def is_importable(name: str) -> bool:
    """Whether a file name ends in one of `SUFFIXES`, gzipped or not."""
    return name.casefold().removesuffix(GZIP_SUFFIX).endswith(SUFFIXES)


def find(sources: Sequence[str]) -> list[str]:
    """Return the files that the sources name; a folder stands for its importable files.

    Raises:
        BadParameter: a source does not exist, or a folder holds no importable file.
    """
    files: list[str] = []
    for source in sources:
        path = Path(source)
        if source == STANDARD_INPUT:
            files.append(source)
        elif path.is_dir():
            files += _list_folder(path)
        elif path.exists():  # also a pipe or a device
            files.append(source)
        else:
            raise BadParameter(f"{source}: no such file")
    return files


def _list_folder(folder: Path) -> Iterable[str]:
    files = [
        str(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and is_importable(path.name) and not path.name.startswith(".")
    ]
    if not files:
        endings = " ".join(SUFFIXES)
        raise BadParameter(f"{folder}: no file in it ends in {endings} (or those and .gz)")
    return files


def size(source: str) -> int:
    """Return the size of a source in bytes; 0 where only reading it shows the size."""
    path = Path(source)
    return path.stat().st_size if path.is_file() else 0


class FileChunks:
    """The bytes of a file in chunks; if the file can seek, each iteration yields the same."""

    def __init__(self, file: IO[bytes], progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self._start = file.tell() if file.seekable() else None

    def __iter__(self) -> Iterator[bytes]:
        """Yield the chunks and report the length of each."""
        if self._start is not None:
            self._file.seek(self._start)
        while chunk := self._file.read(PIECE_BYTES):
            self._progress(len(chunk))
            yield chunk


@contextmanager
def open_chunks(source: str, progress: Progress, *, twice: bool = False) -> Iterator[FileChunks]:
    """Open a file, or standard input for `-`, for reading in chunks.

    `twice`: the caller iterates twice, so input that cannot seek is copied to a temporary file.
    """
    with _open(source) as file:
        if not twice or file.seekable():
            yield FileChunks(file, progress)
            return
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            for chunk in FileChunks(file, lambda _: None):
                spool.write(chunk)
            spool.seek(0)
            yield FileChunks(spool, progress)


@contextmanager
def _open(source: str) -> Iterator[IO[bytes]]:
    if source == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    with Path(source).open("rb") as file:
        yield file
