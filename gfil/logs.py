"""Log lines: one JSON object per line, without the secrets of keys."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

SECRET = re.compile(r"(gfil_[a-z2-9]{8}_)[A-Za-z0-9_-]+")
TEXT_LENGTH_MAX = 8000

_log = logging.getLogger("gfil")


class JsonLines(logging.Formatter):
    """One object per line: time, level, event, then the facts of the event or `detail`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; a traceback becomes the text `traceback`."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", None) or _source(record),
        }
        line |= getattr(record, "facts", None) or {"detail": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)[-TEXT_LENGTH_MAX:]
        text = json.dumps(line, ensure_ascii=False, default=str)
        return SECRET.sub(r"\1…", text).encode("utf-8", "replace").decode()


def _source(record: logging.LogRecord) -> str:
    return "gunicorn" if record.name.startswith("gunicorn") else record.module


def configure() -> None:
    """Write the log lines of this process to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    _log.handlers[:] = [handler]
    _log.propagate = False
    _log.setLevel(logging.INFO)


def log_event(level: int, event: str, error: BaseException | None = None, /, **facts: Any) -> None:
    """Log an event with its facts, and the traceback of `error`.

    Without `configure` the line is plain text: the event and `name=value` pairs.
    """
    known = {name: fact for name, fact in facts.items() if fact is not None}
    text = " ".join([event, *(f"{name}={fact}" for name, fact in known.items())])
    extra = {"event": event, "facts": known}
    _log.log(level, "%s", SECRET.sub(r"\1…", text), exc_info=error, extra=extra)
