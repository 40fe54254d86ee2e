"""What SQLite complains of by itself: a failed sync of a checkpoint shows nowhere else."""

from collections.abc import Callable

import apsw

# A recovered WAL, a statement compiled anew, a broken CHECK: told where they happen, or no error.
USUAL = {
    apsw.SQLITE_NOTICE,
    apsw.SQLITE_WARNING,
    apsw.SQLITE_SCHEMA,
    apsw.SQLITE_CONSTRAINT,
    apsw.SQLITE_INTERRUPT,
}
NAMES = {
    code: name
    for mapping in (apsw.mapping_result_codes, apsw.mapping_extended_result_codes)
    for code, name in mapping.items()
    if isinstance(name, str)
}


def listen(tell: Callable[[str, str], None]) -> None:
    """Have `tell(name, message)` called for each error, in the thread that met it.

    One listener a process, and for all its connections; it must not use SQLite itself
    (sqlite.org/errlog.html).
    """

    def note(code: int, message: str) -> None:
        if code & 0xFF not in USUAL:
            tell(NAMES.get(code, str(code)), message)

    apsw.config(apsw.SQLITE_CONFIG_LOG, note)
