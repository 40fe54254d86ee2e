"""The log of the pump: a rotating file and the console."""

import logging.handlers
import sys
import time
from pathlib import Path

from scripts.pump.times import MINUTE_S

LOG_FILE_BYTES = 5_000_000
LOG_FILES_KEPT = 3
LOG = logging.getLogger("pump")
_QUIET_UNTIL: dict[str, float] = {}


def start_log(folder: Path) -> None:
    """Log to `pump.log` in the folder and to the console, if any, with times in UTC."""
    logging.Formatter.converter = time.gmtime
    path = folder / "pump.log"
    file = logging.handlers.RotatingFileHandler(path, "a", LOG_FILE_BYTES, LOG_FILES_KEPT, "utf-8")
    handlers: list[logging.Handler] = [file]
    if sys.stderr is not None:  # pythonw.exe has no console
        handlers.append(logging.StreamHandler())
    logging.basicConfig(format="%(asctime)sZ %(message)s", level="INFO", handlers=handlers)


def warn_rarely(text: str, every_s: float = MINUTE_S, key: str = "") -> None:
    """Log a warning, at most once in `every_s` for the same key (default: the text)."""
    now = time.monotonic()
    if _QUIET_UNTIL.get(key or text, 0.0) <= now:
        LOG.warning(text)
        _QUIET_UNTIL[key or text] = now + every_s
