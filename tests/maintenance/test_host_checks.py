"""Tests of gfil/maintenance/host_checks.py."""

from pathlib import Path

import pytest

from gfil.maintenance import host_checks


def test_measured_sync_leaves_no_file(tmp_path: Path) -> None:
    assert host_checks.measure_sync_us(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []


def test_file_system_type_is_found() -> None:
    assert host_checks.find_file_system(Path("/proc")) == "proc"


@pytest.mark.parametrize(
    ("took_us", "file_system", "ok", "told"),
    [
        (250.0, "ext4", True, "a sync takes 0.25 ms on ext4"),
        (25.0, "", True, "a sync takes 0.025 ms on this disk"),
        (
            3.0,
            "ext4",
            False,
            "a sync takes 0.003 ms on ext4: implausibly fast, a power failure may lose stored data",
        ),
        (
            1.0,
            "tmpfs",
            True,
            "a sync takes 0.001 ms on tmpfs, in memory: a power failure loses all data",
        ),
    ],
)
def test_implausibly_fast_sync_is_wrong(
    took_us: float, file_system: str, ok: bool, told: str
) -> None:
    assert host_checks.check_sync(took_us, file_system) == (ok, told)


@pytest.mark.parametrize(
    ("sqlite", "python", "wrong"),
    [
        ("3.54.1", (3, 11), None),
        ("3.51.3", (3, 14), None),
        ("3.51.2", (3, 11), "SQLite before 3.51.3 can corrupt a WAL database: recreate .venv"),
        ("3.9.2", (3, 11), "SQLite before 3.51.3 can corrupt a WAL database: recreate .venv"),
        ("3.54.1", (3, 10), "Python 3.11 or newer is needed"),
    ],
)
def test_unsupported_versions_are_reported(
    sqlite: str, python: tuple[int, ...], wrong: str | None
) -> None:
    assert host_checks.find_version_problem(sqlite, python) == wrong


def test_versions_name_sqlite() -> None:
    assert "SQLite 3." in host_checks.describe_versions()
