"""Settings: name, default and description, read from the environment or `gfil.env`."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gfil.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
"""The folder of `wsgi.py`; relative paths in the settings are relative to it."""

VERSION = "0.1.0"
ENV_FILE = "gfil.env"
LOOPBACK = "GFIL_SERVE_LOOPBACK"
"""Not a setting: `serve` sets it for its workers if it listens on a loopback address."""

READ_RULES = ("public", "key")
_ORIGIN = re.compile(
    r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?"
)


def _number(least: int, most: int) -> Callable[[str, Path], int]:
    def parse(text: str, root: Path) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def _path(text: str, root: Path) -> Path:
    path = root / text
    if "\0" in text or path.is_dir():
        raise ValueError("must name a file, not a folder")
    return path


def _read_rule(text: str, root: Path) -> str:
    if text not in READ_RULES:
        raise ValueError("must be public or key")
    return text


def _origins(text: str, root: Path) -> tuple[str, ...]:
    origins = tuple(text.replace(",", " ").split())
    if not all(origin == "*" or _ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError(
            "must be origins such as https://charts.example.com, separated by commas, or *"
        )
    return origins


def _secret(text: str, root: Path) -> str:
    if len(text) < 32:
        raise ValueError("must be at least 32 characters")
    return text


class Setting(NamedTuple):
    """One setting; `default` is its text, blank for unset."""

    name: str
    default: str
    sentence: str
    parse: Callable[[str, Path], Any]

    @property
    def field(self) -> str:
        """Name of the field in `Settings`."""
        return self.name.removeprefix("GFIL_").lower()


SETTINGS = (
    Setting("GFIL_DB", "data/gfil.db", "The database file.", _path),
    Setting(
        "GFIL_READ",
        "",
        "Access for readers: `public` needs no key, `key` needs one; unset, `serve` on a loopback "
        "address needs no key from its own machine, and every other start needs a key.",
        _read_rule,
    ),
    Setting(
        "GFIL_PROXIES",
        "0",
        "Number of trusted proxies in front; GFIL takes address and scheme from their headers.",
        _number(0, 10),
    ),
    Setting(
        "GFIL_ORIGINS",
        "",
        "Origins of pages that may read the UDF and Binance routes (CORS), separated by commas; "
        "`*` allows every origin. No route uses it yet.",
        _origins,
    ),
    Setting(
        "GFIL_MAX_UPLOAD_MB",
        "500",
        "Largest upload of candles, in MB after unpacking.",
        _number(1, 100_000),
    ),
    Setting("GFIL_WORKERS", "2", "Number of worker processes.", _number(1, 64)),
    Setting("GFIL_THREADS", "128", "Number of threads in each worker.", _number(4, 1024)),
    Setting(
        "GFIL_STREAMS_MAX",
        "100",
        "Most live streams of each worker at once; below its number of threads.",
        _number(0, 1000),
    ),
    Setting(
        "GFIL_MIN_FREE_MB",
        "256",
        "Free disk space, in MB, below which GFIL refuses data over HTTP.",
        _number(0, 1_000_000),
    ),
    Setting(
        "GFIL_SECRET",
        "",
        "Secret that signs the login cookies; unset, GFIL creates one next to the database.",
        _secret,
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings in force, one field for each row of `SETTINGS`.

    `loopback` is true if `serve` listens on a loopback address. With `read` unset, direct requests
    then need no key to read.
    """

    db: Path
    read: str | None
    proxies: int
    origins: tuple[str, ...]
    max_upload_mb: int
    workers: int
    threads: int
    streams_max: int
    min_free_mb: int
    secret: str | None
    loopback: bool = False


def read(environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> Settings:
    """Return the settings from the environment, else from `gfil.env` in `root`, else the defaults.

    A blank value counts as unset.

    Raises:
        ConfigError: a value is wrong, or a name in `gfil.env` is not a setting.
    """
    in_file = _read_env_file(root / ENV_FILE)
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text, source = environ.get(setting.name, "").strip(), "the environment"
        if not text and setting.name in in_file:
            text, source = in_file[setting.name], ENV_FILE
        values[setting.field] = _parse(setting, text or setting.default, source, root)
    settings = Settings(**values, loopback=environ.get(LOOPBACK) == "1")
    if settings.streams_max >= settings.threads:
        raise ConfigError(
            f"GFIL_STREAMS_MAX ({settings.streams_max}) must be below GFIL_THREADS "
            f"({settings.threads}): streams must leave threads for other requests"
        )
    return settings


def _parse(setting: Setting, text: str, source: str, root: Path) -> Any:
    if not text:
        return () if setting.parse is _origins else None
    try:
        return setting.parse(text, root)
    except ValueError as error:
        shown = "" if setting.parse is _secret else f", not {text[:64]!r}"
        raise ConfigError(f"{setting.name} (in {source}) {error}{shown}") from None


def _read_env_file(path: Path) -> dict[str, str]:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    names = {setting.name for setting in SETTINGS}
    values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            raise ConfigError(f"{ENV_FILE} line {number} is not NAME=VALUE: {line.strip()[:64]!r}")
        if name not in names:
            raise ConfigError(f"{ENV_FILE} line {number}: {name[:64]!r} is not a setting")
        values[name] = _unquote(value)
    return values


def _unquote(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1].strip() if quoted else value
