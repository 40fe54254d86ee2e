"""Tests of gfil/cli.py: output and exit statuses shared by the commands."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from gfil.cli import Commands, cli
from gfil.errors import BadParameter, GfilError, NoDatabase
from tests.conftest import clean_environment


def run(*arguments: str, group: click.Group = cli, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(group, arguments, prog_name="gfil")


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "new" / "gfil.db"


def test_init_creates_a_database_and_names_it(db: Path) -> None:
    made = run("init", GFIL_DB=str(db))
    assert (made.exit_code, made.stdout, made.stderr) == (0, f"{db}: created\n", "")
    assert db.is_file()


def test_init_keeps_an_existing_database(db: Path) -> None:
    run("init", GFIL_DB=str(db))
    before = db.read_bytes()
    again = run("init", GFIL_DB=str(db))
    assert (again.exit_code, again.stdout) == (0, f"{db}: exists already\n")
    assert db.read_bytes() == before


def test_init_prints_json(db: Path) -> None:
    assert run("init", "--json", GFIL_DB=str(db)).stdout == f'{{"db":"{db}","created":true}}\n'
    assert run("init", "--json", GFIL_DB=str(db)).stdout == f'{{"db":"{db}","created":false}}\n'


def test_init_refuses_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes " * 1000)
    refused = run("init", GFIL_DB=str(path))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"gfil: cannot use the database {path}: it is not an SQLite database\n"
    )
    assert path.read_text() == "my notes " * 1000


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["serve", "--nope"], "No such option '--nope' (see `gfil serve --help`)"),
        (["frobnicate"], "No such command 'frobnicate' (see `gfil --help`)"),
        (["init", "extra"], "Got unexpected extra argument (extra) (see `gfil init --help`)"),
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(arguments: list[str], line: str) -> None:
    wrong = run(*arguments)
    assert (wrong.exit_code, wrong.stdout, wrong.stderr) == (2, "", f"gfil: {line}\n")


def test_wrong_setting_is_one_line_and_exits_with_1() -> None:
    wrong = run("init", GFIL_WORKERS="lots")
    assert (wrong.exit_code, wrong.stdout, wrong.stderr) == (
        1,
        "",
        "gfil: GFIL_WORKERS (in the environment) must be a whole number from 1 to 64, not 'lots'\n",
    )


def group_of(outcome: int | BaseException | None) -> click.Group:
    @click.group(cls=Commands)
    def group() -> None:
        pass

    @group.command()
    def work() -> int | None:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return group


@pytest.mark.parametrize(
    ("outcome", "status", "stderr"),
    [
        (None, 0, ""),
        (0, 0, ""),
        (3, 3, ""),
        (GfilError("it\nbroke"), 1, "gfil: it broke\n"),
        (BadParameter("no such timeframe"), 2, "gfil: no such timeframe\n"),
        (
            NoDatabase(Path("/x/y.db")),
            1,
            "gfil: no database at /x/y.db: `scripts/gfil init` makes one, GFIL_DB names another\n",
        ),
        (FileNotFoundError(2, "No such file", "/x.csv"), 1, "gfil: /x.csv: No such file\n"),
        (OSError(5, "Input/output error"), 1, "gfil: input or output: Input/output error\n"),
        (KeyboardInterrupt(), 1, "gfil: stopped\n"),
    ],
)
def test_result_of_a_command_is_its_exit_status(
    outcome: int | BaseException | None, status: int, stderr: str
) -> None:
    ended = run("work", group=group_of(outcome))
    assert (ended.exit_code, ended.stdout, ended.stderr.lstrip("\n")) == (status, "", stderr)


def test_unexpected_exception_is_not_hidden() -> None:
    ended = run("work", group=group_of(ZeroDivisionError()))
    assert isinstance(ended.exception, ZeroDivisionError)


def test_python_runs_the_package(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gfil", "init"],
        cwd=tmp_path,
        env=clean_environment(GFIL_DB=str(tmp_path / "a.db")),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path}/a.db: created\n", "")


def test_commands_do_not_import_the_web_framework() -> None:
    loaded = "import sys, gfil.cli; sys.exit('flask' in sys.modules or 'gunicorn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], env=clean_environment()).returncode == 0
