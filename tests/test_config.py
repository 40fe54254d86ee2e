"""Tests of gfil/config.py."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from gfil import config
from gfil.config import SETTINGS, Settings, read
from gfil.errors import ConfigError


def test_unset_settings_have_their_defaults(tmp_path: Path) -> None:
    assert read({}, tmp_path) == Settings(
        db=tmp_path / "data/gfil.db",
        read=None,
        proxies=0,
        origins=(),
        max_upload_mb=500,
        workers=2,
        threads=128,
        streams_max=100,
        min_free_mb=256,
        secret=None,
        loopback=False,
    )


def test_every_setting_is_a_field() -> None:
    assert [setting.field for setting in SETTINGS] == [field.name for field in fields(Settings)][
        :-1
    ]


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("GFIL_DB", "/var/lib/gfil/gfil.db", "db", Path("/var/lib/gfil/gfil.db")),
        ("GFIL_READ", "public", "read", "public"),
        ("GFIL_READ", "key", "read", "key"),
        ("GFIL_PROXIES", "1", "proxies", 1),
        ("GFIL_ORIGINS", "https://a.example", "origins", ("https://a.example",)),
        (
            "GFIL_ORIGINS",
            "https://a.example, http://b:8080 http://[::1]:3000",
            "origins",
            ("https://a.example", "http://b:8080", "http://[::1]:3000"),
        ),
        ("GFIL_ORIGINS", "*", "origins", ("*",)),
        ("GFIL_MAX_UPLOAD_MB", "50", "max_upload_mb", 50),
        ("GFIL_WORKERS", "1", "workers", 1),
        ("GFIL_THREADS", "256", "threads", 256),
        ("GFIL_STREAMS_MAX", "127", "streams_max", 127),
        ("GFIL_STREAMS_MAX", "0", "streams_max", 0),
        ("GFIL_MIN_FREE_MB", " 0 ", "min_free_mb", 0),
        ("GFIL_SECRET", "s" * 32, "secret", "s" * 32),
        ("GFIL_WORKERS", "", "workers", 2),
        ("GFIL_READ", "  ", "read", None),
        ("GFIL_SERVE_LOOPBACK", "1", "loopback", True),
        ("GFIL_SERVE_LOOPBACK", "0", "loopback", False),
        ("GFIL_UNKNOWN", "x", "loopback", False),
    ],
)
def test_setting_is_read_from_the_environment(
    tmp_path: Path, name: str, text: str, field: str, value: object
) -> None:
    assert read({name: text}, tmp_path) == replace(read({}, tmp_path), **{field: value})


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("GFIL_DB", ".", "must name a file, not a folder"),
        ("GFIL_READ", "everyone", "must be public or key"),
        ("GFIL_READ", "Public", "must be public or key"),
        ("GFIL_PROXIES", "-1", "must be a whole number from 0 to 10"),
        ("GFIL_PROXIES", "11", "must be a whole number from 0 to 10"),
        ("GFIL_ORIGINS", "a.example", "must be origins such as https://charts.example.com"),
        ("GFIL_ORIGINS", "https://a.example/path", "must be origins such as"),
        ("GFIL_MAX_UPLOAD_MB", "500MB", "must be a whole number from 1 to 100000"),
        ("GFIL_WORKERS", "0", "must be a whole number from 1 to 64"),
        ("GFIL_WORKERS", "2.0", "must be a whole number from 1 to 64"),
        ("GFIL_WORKERS", "1_0", "must be a whole number from 1 to 64"),
        ("GFIL_WORKERS", "٣", "must be a whole number from 1 to 64"),
        ("GFIL_THREADS", "9" * 5000, "must be a whole number from 4 to 1024"),
        ("GFIL_STREAMS_MAX", "many", "must be a whole number from 0 to 1000"),
        ("GFIL_MIN_FREE_MB", "1e3", "must be a whole number from 0 to 1000000"),
    ],
)
@pytest.mark.parametrize("source", ["the environment", "gfil.env"])
def test_wrong_value_is_refused_in_one_line_with_its_name(
    tmp_path: Path, name: str, text: str, word: str, source: str
) -> None:
    environ = {name: text} if source == "the environment" else {}
    if not environ:
        (tmp_path / "gfil.env").write_text(f"{name}={text}\n")
    with pytest.raises(ConfigError) as caught:
        read(environ, tmp_path)
    assert caught.value.detail.startswith(f"{name} (in {source}) {word}")
    assert caught.value.detail.endswith(f"not {text[:64]!r}")
    assert "\n" not in caught.value.detail


def test_wrong_secret_is_refused_without_showing_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read({"GFIL_SECRET": "hunter2"}, tmp_path)
    assert caught.value.detail == "GFIL_SECRET (in the environment) must be at least 32 characters"


def test_streams_must_leave_threads(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read({"GFIL_THREADS": "100"}, tmp_path)
    assert caught.value.detail == (
        "GFIL_STREAMS_MAX (100) must be below GFIL_THREADS (100): streams must leave threads "
        "for other requests"
    )


def test_file_applies_where_the_environment_is_unset(tmp_path: Path) -> None:
    (tmp_path / "gfil.env").write_text("GFIL_WORKERS=4\nGFIL_PROXIES=1\nGFIL_READ=key\n")
    settings = read({"GFIL_WORKERS": "3", "GFIL_READ": ""}, tmp_path)
    assert (settings.workers, settings.proxies, settings.read) == (3, 1, "key")


def test_file_may_have_comments_quotes_blanks_bom_and_crlf(
    tmp_path: Path,
) -> None:
    text = (
        "\ufeff# a comment\r\n\r\n  # another\r\nGFIL_WORKERS = 4\r\n"
        'GFIL_DB="my data/a.db"\r\nGFIL_SECRET=\'' + "#=" * 16 + "'\r\nGFIL_READ=\r\n"
        "GFIL_PROXIES=1\r\nGFIL_PROXIES=2"
    )
    (tmp_path / "gfil.env").write_text(text, encoding="utf-8", newline="")
    settings = read({}, tmp_path)
    assert settings == replace(
        read({}, tmp_path / "elsewhere"),
        workers=4,
        db=tmp_path / "my data/a.db",
        secret="#=" * 16,
        proxies=2,
    )


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("GFIL_WORKER=2", "gfil.env line 1: 'GFIL_WORKER' is not a setting"),
        ("# one\n\nPATH=/bin", "gfil.env line 3: 'PATH' is not a setting"),
        ("export GFIL_WORKERS=2", "gfil.env line 1: 'export GFIL_WORKERS' is not a setting"),
        ("gfil_workers=2", "gfil.env line 1: 'gfil_workers' is not a setting"),
        ("GFIL_WORKERS 2", "gfil.env line 1 is not NAME=VALUE: 'GFIL_WORKERS 2'"),
        ("=2", "gfil.env line 1: '' is not a setting"),
        ("GFIL_SERVE_LOOPBACK=1", "gfil.env line 1: 'GFIL_SERVE_LOOPBACK' is not a setting"),
    ],
)
def test_invalid_line_of_the_file_is_refused(tmp_path: Path, text: str, detail: str) -> None:
    (tmp_path / "gfil.env").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read({}, tmp_path)
    assert caught.value.detail == detail


@pytest.mark.parametrize("content", [b"GFIL_DB=\xff\xfe", None])
def test_unreadable_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "gfil.env"
    path.write_bytes(content) if content else path.mkdir()
    with pytest.raises(ConfigError, match=r"gfil.env cannot be read"):
        read({}, tmp_path)


def test_path_with_a_nul_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gfil.env").write_text("GFIL_DB=a\0b\n")
    with pytest.raises(ConfigError, match=r"GFIL_DB \(in gfil.env\) must name a file"):
        read({}, tmp_path)


def test_sample_file_describes_every_setting() -> None:
    lines = (config.ROOT / "gfil.env").read_text("utf-8").splitlines()
    names = [line.lstrip("#").partition("=")[0] for line in lines if "GFIL_" in line]
    assert names == [setting.name for setting in SETTINGS]
    prose = " ".join(line.lstrip("# ") for line in lines)
    for setting in SETTINGS:
        assert setting.sentence.replace("`", "") in prose
