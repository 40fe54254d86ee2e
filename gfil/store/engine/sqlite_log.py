"""SQLite's error log: the only place that shows a failed sync of a checkpoint."""

from collections.abc import Callable

import apsw

# A recovered WAL and a recompiled statement are no errors; a failed CHECK is raised elsewhere.
IGNORED_CODES = {
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


def listen(report: Callable[[str, str], None]) -> None:
    """Call `report(name, message)` for each error, in the thread where it occurs.

    A process has one listener for all its connections. The listener must not use SQLite
    (sqlite.org/errlog.html).
    """

    def filter_code(code: int, message: str) -> None:
        if code & 0xFF not in IGNORED_CODES:
            report(NAMES.get(code, str(code)), message)

    apsw.config(apsw.SQLITE_CONFIG_LOG, filter_code)
