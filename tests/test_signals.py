"""Tests of inherited signals: of the tests' own processes, and of a command started by `nohup`."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, STOP_MAX_S, clean_environment, wait_for

IGNORING = ("sh", "-c", 'trap "" INT HUP; exec "$@"', "sh", sys.executable)
CHILD = """
from signal import SIG_DFL, SIGHUP, SIGINT, default_int_handler, getsignal
print(getsignal(SIGINT) is default_int_handler, getsignal(SIGHUP) is SIG_DFL)
"""
PARENT = f"""
import subprocess, sys
import tests.conftest
subprocess.run([sys.executable, "-c", {CHILD!r}], check=True)
"""


def test_children_of_tests_start_with_default_signals() -> None:
    done = subprocess.run(
        [*IGNORING, "-c", PARENT],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=STOP_MAX_S,
    )
    assert (done.stdout, done.stderr) == ("True True\n", "")


@pytest.mark.parametrize("is_ignored", [True, False])
def test_import_ends_at_ctrl_c_unless_its_parent_ignores_it(
    tmp_path: Path, is_ignored: bool
) -> None:
    """`nohup` and the `&` of a script make a command go on; so does GFIL."""
    database = tmp_path / "gfil.db"
    command = ["-m", "gfil", "import", "-", "--symbol", "X", "--tf", "M1"]
    with subprocess.Popen(
        [*(IGNORING if is_ignored else (sys.executable,)), *command],
        cwd=ROOT,
        env=clean_environment(GFIL_DB=str(database)),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_for(database.exists, "a database, made before the input is read")
        process.send_signal(signal.SIGINT)
        if not is_ignored:
            assert process.wait(STOP_MAX_S) == 1
            return
        process.communicate(b"time,open,high,low,close,volume\n0,1,2,1,2,7\n", STOP_MAX_S)
        assert process.returncode == 0
