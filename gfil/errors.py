"""Error classes with their fields, HTTP status and exit status.

Policy: code raises a subclass of `GfilError` for every failure that a user can cause or mend. The
error carries data in fields. Two front ends word it: `gfil.web.request.problems` answers with a
problem document of `type`, `title`, `status`, `detail` and `extra`; `gfil.commands` prints one line
on stderr and exits with `exit_status`. A sentence that names an option holds an `Option`, which is
`tf` over HTTP and `--tf` on the command line. No text is rewritten after it was made. Every other
exception is a bug: HTTP answers 500 and logs the traceback.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Option:
    """An option that a sentence names: a flag on the command line, a parameter over HTTP."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def flag(self) -> str:
        """The option as the command line spells it: `force_tf` is `--force-tf`."""
        return "--" + self.name.replace("_", "-")


Sentence = str | tuple[str | Option, ...]
"""A sentence, or its parts where it names options."""


class GfilError(Exception):
    """An error that is reported to a user as one sentence, with fields for programs."""

    status = 500
    exit_status = 1
    type = "failed"
    title = "It failed"

    def __init__(self, sentence: Sentence) -> None:
        self.parts = (sentence,) if isinstance(sentence, str) else sentence
        super().__init__(self.detail)

    @property
    def detail(self) -> str:
        """The sentence; options are named as HTTP parameters."""
        return "".join(map(str, self.parts))

    @property
    def line(self) -> str:
        """The sentence; options are named as flags of the command line."""
        return "".join(part.flag if isinstance(part, Option) else part for part in self.parts)

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the options in the sentence."""
        return tuple(part.name for part in self.parts if isinstance(part, Option))

    def append(self, text: str) -> None:
        """Append to the sentence, for example a count of the work done before the error."""
        self.parts = (*self.parts, text)
        self.args = (self.detail,)

    @property
    def extra(self) -> Mapping[str, Any]:
        """Further fields of the problem document."""
        return {}


class BadRequest(GfilError):
    """The body is broken, truncated or of an unknown format."""

    status = 400
    type = "bad_request"
    title = "Bad request"


class BadParameter(BadRequest):
    """A parameter is unknown, missing, malformed or out of range. `parameter` is its name."""

    exit_status = 2
    type = "bad_parameter"
    title = "Bad parameter"
    parameter: str | None = None

    @property
    def extra(self) -> Mapping[str, Any]:
        """The name of the wrong parameter, if it is known."""
        name = self.parameter or next(iter(self.options), None)
        return {"parameter": name} if name else {}


class Unauthorized(GfilError):
    """The key is missing, wrong, expired or revoked."""

    status = 401
    type = "unauthorized"
    title = "Not a valid key"


class Forbidden(GfilError):
    """The key lacks the scope that the route requires."""

    status = 403
    type = "forbidden"
    title = "Not allowed"


class TooManyRequests(GfilError):
    """An address made too many attempts: retry after `retry_after_s`."""

    status = 429
    type = "too_many_requests"
    title = "Too many requests"

    def __init__(self, sentence: Sentence, retry_after_s: int) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class NotFound(GfilError):
    """The named thing does not exist."""

    status = 404
    type = "not_found"
    title = "Not found"


class SymbolUnknown(NotFound):
    """The database has no such symbol."""

    type = "symbol_unknown"
    title = "Unknown symbol"

    def __init__(self, symbol: str) -> None:
        super().__init__(f"unknown symbol {symbol[:64]!r}")
        self.symbol = symbol


class TooSlow(GfilError):
    """The body stopped arriving or passed its deadline."""

    status = 408
    type = "too_slow"
    title = "Too slow"


class Conflict(GfilError):
    """The change contradicts existing data."""

    status = 409
    type = "conflict"
    title = "Already taken"


class TooLarge(GfilError):
    """The body exceeds the limit of its route."""

    status = 413
    type = "too_large"
    title = "Too large"


class UnsupportedEncoding(GfilError):
    """The body has a Content-Encoding other than gzip."""

    status = 415
    type = "unsupported_encoding"
    title = "Unsupported encoding"


class Refused(GfilError):
    """The request as a whole is refused and nothing is stored. `report` has the counts."""

    status = 422
    type = "refused"
    title = "Refused"

    def __init__(self, sentence: Sentence, report: Mapping[str, Any] | None = None) -> None:
        super().__init__(sentence)
        self.report = report or {}

    @property
    def extra(self) -> Mapping[str, Any]:
        """The counts of the rows and the first refused rows."""
        return self.report


class Busy(GfilError):
    """A lock or a place is taken: retry after `retry_after_s`."""

    status = 503
    type = "busy"
    title = "Busy"

    def __init__(self, sentence: Sentence = "the database is busy", retry_after_s: int = 1) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class NotReady(GfilError):
    """The server cannot serve or store; `problems` names the reasons."""

    status = 503
    type = "not_ready"
    title = "Not ready"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems

    @property
    def extra(self) -> Mapping[str, Any]:
        """The list of reasons."""
        return {"problems": self.problems}


class DiskFull(GfilError):
    """The disk has too little free space to store anything."""

    status = 507
    type = "disk_full"
    title = "Disk full"

    def __init__(self, sentence: Sentence = "the disk is full: nothing was stored") -> None:
        super().__init__(sentence)


class DatabaseError(GfilError):
    """The database cannot be used. `path` names the file where it is known."""

    status = 503
    type = "database"
    title = "The database cannot be used"

    def __init__(self, path: Path | None, reason: str) -> None:
        super().__init__(f"cannot use the database {path or ''}".rstrip() + f": {reason}")
        self.path = path
        self.reason = reason


class NoDatabase(DatabaseError):
    """The database file does not exist."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "no file")
        hint = "`scripts/gfil init` makes one, GFIL_DB names another"
        self.parts = (f"no database at {path}: {hint}",)
        self.args = (self.detail,)


class ForeignDatabase(DatabaseError):
    """The file is not a database of this program, or a newer version wrote it."""


class ConfigError(GfilError):
    """A setting has a wrong value, or `gfil.env` has an unknown name."""

    type = "bad_setting"
    title = "Bad setting"
