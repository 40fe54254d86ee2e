"""Files, folders and standard input as sources of an import."""

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import apsw

from gfil.errors import BadParameter
from gfil.ingest import importer, names
from gfil.ingest.importer import Options
from gfil.ingest.pieces import PIECE_BYTES
from gfil.ingest.report import Report

STANDARD_INPUT = "-"
SPOOL_BYTES = 8 * 1024 * 1024  # of standard input kept in memory before it goes to a file

Progress = Callable[[int], object]


def find(sources: Sequence[str]) -> list[str]:
    """Return the files that the sources name: a folder stands for all that it holds itself.

    Raises:
        BadParameter: a source is not there, or a folder holds nothing that can be imported.
    """
    found: list[str] = []
    for source in sources:
        path = Path(source)
        if source == STANDARD_INPUT or path.is_file():
            found.append(source)
        elif path.is_dir():
            found += _in_folder(path)
        elif path.exists():
            found.append(source)  # a pipe or a device
        else:
            raise BadParameter(f"{source}: no such file")
    return found


def _in_folder(folder: Path) -> Iterable[str]:
    files = [
        str(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and names.is_importable(path.name) and not path.name.startswith(".")
    ]
    if not files:
        endings = " ".join(names.SUFFIXES)
        raise BadParameter(f"{folder}: no file in it ends in {endings} (or those and .gz)")
    return files


def size(source: str) -> int:
    """Return how many bytes a source has; 0 where only reading tells."""
    path = Path(source)
    return path.stat().st_size if path.is_file() else 0


def load(
    db: apsw.Connection | None,
    source: str,
    options: Options,
    *,
    now: float,
    progress: Progress = lambda _: None,
) -> Report:
    """Import one file, or `-` for standard input; `progress` is told of bytes as they are read.

    With `abort` the whole of it is checked before anything is stored.

    Raises:
        As `importer.load`.
    """
    with _open(source) as stream:
        if not options.abort:
            return importer.load(db, _read(stream, progress), options, now=now, name=source)
        with _rewindable(stream) as twice:
            checked = importer.check(db, _read(twice, progress), options, now=now, name=source)
            if options.dry_run:
                return checked
            twice.seek(0)
            options = options._replace(abort=False)
            return importer.load(db, _read(twice, progress), options, now=now, name=source)


@contextmanager
def _open(source: str) -> Iterator[IO[bytes]]:
    if source == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    with Path(source).open("rb") as stream:
        yield stream


@contextmanager
def _rewindable(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    if stream.seekable():
        yield stream
        return
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        for chunk in _read(stream, lambda _: None):
            spool.write(chunk)
        spool.seek(0)
        yield spool


def _read(stream: IO[bytes], progress: Progress) -> Iterator[bytes]:
    while chunk := stream.read(PIECE_BYTES):
        progress(len(chunk))
        yield chunk
