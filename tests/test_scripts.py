"""Tests of scripts/serve, scripts/gfil and scripts/test: set-up of the environment."""

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gfil.config import ROOT
from tests.conftest import clean_environment

SCRIPTS = ["serve", "gfil", "test", "environment.sh", "set_up.py"]


def make_wheel(folder: Path, version: str) -> None:
    """Build a package `word` of one module in the folder that pip searches."""
    info = f"word-{version}.dist-info"
    with zipfile.ZipFile(folder / f"word-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("word.py", f"SAID = {version!r}\n")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: word\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


class Checkout:
    """Copy of the scripts with a package that prints its arguments; pip uses no network."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        self.wheels = folder / "wheels"
        for each in (self.root / "scripts", self.root / "gfil", self.wheels):
            each.mkdir(parents=True)
        for name in SCRIPTS:
            shutil.copy2(ROOT / "scripts" / name, self.root / "scripts" / name)
        (self.root / "gfil" / "__main__.py").write_text(
            "import sys, word\nprint(word.SAID, sys.prefix == sys.base_prefix, sys.argv[1:])\n"
        )
        make_wheel(self.wheels, "1.0")
        make_wheel(self.wheels, "2.0")
        self.require("word==1.0")

    def require(self, line: str) -> None:
        (self.root / "requirements.txt").write_text(line + "\n")

    def start(self, script: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        offline = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PYTHON": sys.executable,
        }
        return subprocess.Popen(
            [self.root / "scripts" / script, *arguments],
            cwd="/",
            env={**clean_environment(), **offline, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
        return ended(self.start(script, *arguments, **environment))


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout, stderr


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout after its first run, which two processes started at once."""
    checkout = Checkout(tmp_path_factory.mktemp("ready"))
    both = [checkout.start("gfil", "one", "two words") for _ in range(2)]
    answers = [ended(process) for process in both]
    assert [answer[:2] for answer in answers] == [(0, "1.0 False ['one', 'two words']\n")] * 2
    assert sorted(answer[2] for answer in answers) == ["", "Setting up (first run)…\n"]
    return checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_second_run_prints_no_set_up_line(ready: Checkout) -> None:
    assert ready.run("gfil", "x") == (0, "1.0 False ['x']\n", "")
    assert ready.run("serve", "--demo") == (0, "1.0 False ['serve', '--demo']\n", "")


def test_script_works_through_a_symbolic_link(ready: Checkout, tmp_path: Path) -> None:
    link = tmp_path / "linked"
    link.symlink_to(ready.root / "scripts" / "gfil")
    done = subprocess.run([link, "x"], capture_output=True, text=True, env=clean_environment())
    assert (done.returncode, done.stdout) == (0, "1.0 False ['x']\n")


def test_working_directory_hides_no_module(ready: Checkout, tmp_path: Path) -> None:
    (tmp_path / "word.py").write_text("SAID = 'mine'\n")
    script = ready.root / "scripts" / "gfil"
    done = subprocess.run(
        [script], cwd=tmp_path, capture_output=True, text=True, env=clean_environment()
    )
    assert (done.returncode, done.stdout) == (0, "1.0 False []\n")


def test_changed_requirements_are_installed_and_a_broken_environment_is_made_new(
    ready: Checkout,
) -> None:
    ready.require("word==2.0")
    assert ready.run("gfil") == (0, "2.0 False []\n", "Installing what changed…\n")

    (ready.root / ".venv" / "bin" / "python").unlink()
    assert ready.run("gfil") == (0, "2.0 False []\n", "Setting up (first run)…\n")

    ready.require("word==3.0")
    for _ in range(2):
        status, stdout, stderr = ready.run("gfil")
        assert (status, stdout) == (1, "")
        assert stderr.splitlines() == [
            "Installing what changed…",
            "gfil: could not install requirements.txt: "
            "ERROR: No matching distribution found for word==3.0",
        ]
    ready.require("word==1.0")
    assert ready.run("gfil")[:2] == (0, "1.0 False []\n")


def fake(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def path_without_python(tmp_path: Path) -> Path:
    """Folder with the tools that the scripts call, used as the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("env", "bash", "sh", "uname", "dirname", "readlink", "cat"):
        (folder / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
    return folder


@pytest.mark.parametrize("script", ["serve", "gfil", "test"])
def test_missing_python_is_one_line(
    checkout: Checkout, path_without_python: Path, script: str
) -> None:
    (checkout.root / "requirements-dev.txt").write_text("")
    assert checkout.run(script, PATH=str(path_without_python), PYTHON="") == (
        1,
        "",
        "gfil: no Python here: install Python 3.11 or newer\n",
    )


def test_old_python_is_one_line(checkout: Checkout, path_without_python: Path) -> None:
    fake(path_without_python, "python3", 'case "$2" in *exit*) exit 1;; *print*) echo 3.9;; esac')
    assert checkout.run("gfil", PATH=str(path_without_python), PYTHON="") == (
        1,
        "",
        "gfil: Python 3.9 is too old: install Python 3.11 or newer\n",
    )


def test_python_without_venv_is_one_line(checkout: Checkout, path_without_python: Path) -> None:
    fake(path_without_python, "python3", 'case "$2" in *ensurepip*) exit 1;; esac')
    assert checkout.run("gfil", PATH=str(path_without_python), PYTHON="") == (
        1,
        "",
        "gfil: python3 has no venv module: install it "
        "(on Debian and Ubuntu: apt-get install python3-venv)\n",
    )


def test_windows_is_one_line(checkout: Checkout, path_without_python: Path) -> None:
    (path_without_python / "uname").unlink()
    fake(path_without_python, "uname", "echo MINGW64_NT-10.0")
    assert checkout.run("serve", PATH=str(path_without_python)) == (
        1,
        "",
        "gfil: Windows is not supported: use WSL, the Linux inside Windows\n",
    )


def test_newer_python_is_found_next_to_an_old_one(
    checkout: Checkout, path_without_python: Path
) -> None:
    fake(path_without_python, "python3", 'case "$2" in *exit*) exit 1;; *print*) echo 3.9;; esac')
    fake(path_without_python, "python3.14", "echo 'command not found' >&2; exit 127")
    fake(path_without_python, "python3.12", f'exec {sys.executable} "$@"')
    path = os.pathsep.join([str(path_without_python), "/usr/bin", "/bin"])
    assert checkout.run("gfil", PATH=path, PYTHON="") == (
        0,
        "1.0 False []\n",
        "Setting up (first run)…\n",
    )


def test_requirements_are_pinned_exactly() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = (ROOT / name).read_text().splitlines()
        loose = [line for line in lines if line and line[0] != "#" and line.count("==") != 1]
        assert loose == []
