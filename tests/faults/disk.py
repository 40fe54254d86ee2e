"""A disk that remembers every write, truncation, sync and deletion in order, and fails on demand.

It is an SQLite VFS that inherits from the default one, so WAL and several connections work on it as
ever: the index of a WAL is shared memory, which no cut of the power leaves behind.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw

NAME = "remembering"
BELOW = "unix"


class Op(NamedTuple):
    """One thing done to a file: `read`, `write`, `truncate`, `sync`, `delete`, or `lose`.

    `at` is the offset of a read or write, or the new size of a truncation. To lose is a sync that
    failed: what it should have written may never come to the disk, though the system believes it is
    there (wiki.postgresql.org/wiki/Fsync_Errors).
    """

    kind: str
    file: str
    at: int = 0
    data: bytes = b""


class Tape:
    """The operations on the files of one database, and the promises made between them.

    `before` are the files as they lay on the disk at first. Each mark is the number of operations
    that had been done when a promise was given, and what was promised.
    """

    def __init__(self, database: Path) -> None:
        self.database = database
        files = database.parent.glob(f"{database.name}*")
        self.before = {path.name: path.read_bytes() for path in files}
        self.ops: list[Op] = []
        self.marks: list[tuple[int, Any]] = []

    def mark(self, state: Any) -> None:
        """Promise that every later image holds `state` or a later state."""
        self.marks.append((len(self.ops), state))


def full() -> apsw.Error:
    """Return the error of a disk without room."""
    return apsw.FullError("no space left on device")


def broken() -> apsw.Error:
    """Return the error of a disk that fails."""
    error = apsw.IOError("disk I/O error")
    error.extendedresult = apsw.SQLITE_IOERR_WRITE
    return error


class Fault:
    """Errors at the `first` operation of a kind and at a number of operations after it."""

    def __init__(self, kind: str, first: int, times: int, error: Callable[[], apsw.Error]) -> None:
        self.kind = kind
        self.error = error
        self.which = range(first, first + times)
        self.seen = 0

    def __call__(self, op: Op) -> apsw.Error | None:
        """Raise the error if this operation is one to fail."""
        self.seen += op.kind == self.kind
        return self.error() if op.kind == self.kind and self.seen in self.which else None

    @property
    def has_fired(self) -> bool:
        """Return whether any operation has failed."""
        return self.seen >= self.which.start


class Disk(apsw.VFS):
    """The VFS: `tape` records operations, `fault` may raise an error instead."""

    def __init__(self) -> None:
        self.tape: Tape | None = None
        self.fault: Callable[[Op], apsw.Error | None] | None = None
        super().__init__(NAME, BELOW, makedefault=True)

    def do(self, op: Op) -> None:
        """Raise the error of `fault`, or record an operation; reads are not recorded."""
        if self.fault is not None and (error := self.fault(op)) is not None:
            if op.kind == "sync":
                self._take_down(op._replace(kind="lose"))
            raise error
        if op.kind != "read":
            self._take_down(op)

    def _take_down(self, op: Op) -> None:
        if self.tape is not None and op.file.startswith(self.tape.database.name):
            self.tape.ops.append(op)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 (SQLite's name)
        """Open a file that records its operations."""
        return _File(self, name, flags)

    def xDelete(self, name: str, sync_directory: bool) -> None:  # noqa: N802
        """Delete a file; the directory may still hold it until its sync."""
        self.do(Op("delete", os.path.basename(name), int(sync_directory)))  # noqa: PTH119
        super().xDelete(name, sync_directory)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._disk = disk
        self._name = os.path.basename(path or "temporary")  # noqa: PTH119
        super().__init__(BELOW, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._disk.do(Op("read", self._name, offset))
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.do(Op("write", self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.do(Op("truncate", self._name, size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.do(Op("sync", self._name))  # the disk below need not do it: its power stays on


@contextmanager
def mounted() -> Iterator[Disk]:
    """Put every connection that is opened in the block on this disk."""
    disk = Disk()
    try:
        yield disk
    finally:
        disk.unregister()
        assert apsw.vfs_names()[0] == BELOW


@contextmanager
def recorded(database: Path) -> Iterator[Tape]:
    """Record the operations of connections opened in the block; none may be open before it."""
    with mounted() as disk:
        disk.tape = Tape(database)
        yield disk.tape
