"""What can go wrong, each kind with its HTTP status and its exit status."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class GfilError(Exception):
    """Anything a user is told about: `detail` is one plain sentence for a person.

    Over HTTP it becomes a problem document of `type`, `title`, `status`, `detail` and what `extra`
    holds; on the command line one line on stderr and `exit_status`.
    """

    status = 500
    exit_status = 1
    type = "failed"
    title = "It failed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def extra(self) -> Mapping[str, Any]:
        """What a program wants to know beside the sentence."""
        return {}


class BadRequest(GfilError):
    """A body that is broken, cut short, or of no known format."""

    status = 400
    type = "bad_request"
    title = "Bad request"


class BadParameter(BadRequest):
    """A parameter that is missing, malformed or out of range."""

    exit_status = 2
    type = "bad_parameter"
    title = "Bad parameter"


class Unauthorized(GfilError):
    """A key that is wrong, expired or revoked."""

    status = 401
    type = "unauthorized"
    title = "Not a valid key"


class Forbidden(GfilError):
    """A request without the scope its route needs."""

    status = 403
    type = "forbidden"
    title = "Not allowed"


class TooManyRequests(GfilError):
    """More attempts than are allowed: come back after `retry_after_s`."""

    status = 429
    type = "too_many_requests"
    title = "Too many requests"

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class NotFound(GfilError):
    """A thing that is not here."""

    status = 404
    type = "not_found"
    title = "Not found"


class SymbolUnknown(NotFound):
    """A symbol this database has never seen."""

    type = "symbol_unknown"
    title = "Unknown symbol"

    def __init__(self, symbol: str) -> None:
        super().__init__(f"unknown symbol {symbol[:64]!r}")
        self.symbol = symbol


class TooSlow(GfilError):
    """A body that stopped coming, or took longer than a body may."""

    status = 408
    type = "too_slow"
    title = "Too slow"


class Conflict(GfilError):
    """A change that what is there already does not allow."""

    status = 409
    type = "conflict"
    title = "Already taken"


class TooLarge(GfilError):
    """A body beyond the limit of its route."""

    status = 413
    type = "too_large"
    title = "Too large"


class UnsupportedEncoding(GfilError):
    """A body packed in a way that nothing here unpacks."""

    status = 415
    type = "unsupported_encoding"
    title = "Unsupported encoding"


class Refused(GfilError):
    """Well-formed rows that are refused as a whole: nothing was stored. `report` has the counts."""

    status = 422
    type = "refused"
    title = "Refused"

    def __init__(self, detail: str, report: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.report = report or {}

    @property
    def extra(self) -> Mapping[str, Any]:
        """The counts of the rows and the first of the refused ones."""
        return self.report


class Busy(GfilError):
    """Somebody else holds the write lock: come back after `retry_after_s`."""

    status = 503
    type = "busy"
    title = "Busy"

    def __init__(self, detail: str = "the database is busy", retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class NotReady(GfilError):
    """A server that cannot do all it is there for; `problems` names what is wrong."""

    status = 503
    type = "not_ready"
    title = "Not ready"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems

    @property
    def extra(self) -> Mapping[str, Any]:
        """What is wrong, one by one."""
        return {"problems": self.problems}


class DiskFull(GfilError):
    """No room left for what should be stored."""

    status = 507
    type = "disk_full"
    title = "Disk full"

    def __init__(self, detail: str = "the disk is full: nothing was stored") -> None:
        super().__init__(detail)


class DatabaseError(GfilError):
    """A database that cannot be used as it is. `path` names it where that is known."""

    status = 503
    type = "database"
    title = "The database cannot be used"

    def __init__(self, path: Path | None, reason: str) -> None:
        super().__init__(f"cannot use the database {path or ''}".rstrip() + f": {reason}")
        self.path = path


class NoDatabase(DatabaseError):
    """There is no file where the database should be."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "no file")
        self.detail = f"no database at {path}: `scripts/gfil init` makes one, GFIL_DB names another"


class ForeignDatabase(DatabaseError):
    """The file is no database of this program, or of a newer version of it."""


class ConfigError(GfilError):
    """A setting with a wrong value, or a name in `gfil.env` that is no setting."""

    type = "bad_setting"
    title = "Bad setting"
