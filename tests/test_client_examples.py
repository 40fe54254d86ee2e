"""Runs the example programs of docs/clients.md against a real server."""

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import NamedTuple

import pytest

from gfil.config import ROOT
from tests.conftest import Server, clean_environment

CLIENTS = ROOT / "docs" / "clients.md"
SHOWN_SERVER, SHOWN_KEY = "http://127.0.0.1:8000", '"gfil_…"'
HOURS = "".join(
    f'{{"time":"2025-06-02T{hour:02}:00","open":1,"high":2,"low":0.5,"close":1.5,"volume":7}}\n'
    for hour in range(24)
)


class Example(NamedTuple):
    """Server with a day of XAUUSD for the example programs."""

    url: str
    key: str

    def program(self, language: str, word: str) -> str:
        """Return the first example of a language that contains a word, changed to this server."""
        text = CLIENTS.read_text("utf-8")
        blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        found = next(each for each in blocks if word in each)
        assert SHOWN_SERVER in found
        return found.replace(SHOWN_SERVER, self.url).replace(SHOWN_KEY, f'"{self.key}"')


@pytest.fixture(scope="module")
def example(server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Example:
    folder = tmp_path_factory.mktemp("clients")
    environment = clean_environment(GFIL_DB=str(folder / "gfil.db"))

    def gfil(*words: str, text: str | None = None) -> str:
        return run([sys.executable, "-m", "gfil", *words], environment, text)

    gfil("import", "-", "--symbol", "XAUUSD", "--tf", "H1", text=HOURS)
    key = gfil("key", "create", "--name", "docs", "--scope", "write").strip()
    return Example(server(GFIL_DB=str(folder / "gfil.db")).url, key)


def run(
    words: list[str], environment: dict[str, str] | None = None, text: str | None = None
) -> str:
    done = subprocess.run(
        words,
        input=text,
        capture_output=True,
        text=True,
        env=environment or clean_environment(),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_python_example_reads_every_candle(example: Example) -> None:
    told = run([sys.executable, "-c", example.program("python", "def read_candles")])
    assert len(told.splitlines()) == 7  # 24 hours from 03:00 to 03:00 on nyclose
    assert told.splitlines()[1].split()[1:] == ["1.0", "2.0", "0.5", "1.5", "28.0"]


def test_python_example_sends_ticks(example: Example) -> None:
    told = run([sys.executable, "-c", example.program("python", "def post_ticks")])
    assert told == "1 stored, 0 refused []\n"


def test_python_example_follows_candles(example: Example) -> None:
    send = [sys.executable, "-c", example.program("python", "def post_ticks")]
    run(send)  # the symbol has to exist
    follow = [sys.executable, "-u", "-c", example.program("python", "/api/v1/stream")]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as following:
        ended = threading.Event()

        def keep_sending() -> None:
            while not ended.is_set():
                run(send)

        sending = threading.Thread(target=keep_sending)
        sending.start()
        try:
            assert following.stdout is not None
            line = following.stdout.readline()
        finally:
            ended.set()
            sending.join()
            following.kill()
    assert re.match(r"\{'symbol': 'EURUSD', 'tf': 'M1', 'clock': 'UTC', 'candle': \[", line)


def test_javascript_example_reads_candles(example: Example) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    program = example.program("js", "await fetch")
    told = run([node, "--input-type=module", "-e", program]).splitlines()
    assert told[0] == "2025-06-01T21:00:00.000Z 1 2 0.5 1.5"
    assert re.fullmatch(r"follow from [0-9a-f]+-\d+", told[-1])
