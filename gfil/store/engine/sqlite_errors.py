"""Translate errors of SQLite into errors of the product."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from gfil.errors import Busy, DatabaseError, DiskFull, ForeignDatabase, GfilError


@contextmanager
def translate_errors(path: Path | None) -> Iterator[None]:
    """Raise errors of SQLite inside the block as their `translate` result."""
    try:
        yield
    except apsw.Error as error:
        raise translate(error, path) from error


def translate(error: apsw.Error, path: Path | None = None) -> GfilError | apsw.Error:
    """Return the error to raise for one of SQLite; a programming error stays as it is."""
    if isinstance(error, (apsw.BusyError, apsw.LockedError, apsw.ProtocolError, apsw.NoMemError)):
        return Busy()
    if isinstance(error, apsw.FullError):
        return DiskFull()
    if isinstance(error, apsw.NotADBError):
        return ForeignDatabase(path, "it is not an SQLite database")
    if isinstance(error, (apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError, apsw.CorruptError)):
        return DatabaseError(path, str(error))
    return error
