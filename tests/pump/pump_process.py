"""The pump as a process, and what GFIL has stored of it."""

import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import orjson

from tests.conftest import ROOT, Server, clean_environment
from tests.pump.broker import Broker

PUMP = ROOT / "scripts" / "mt5_pump.py"
STAND_IN = ROOT / "tests" / "pump" / "terminal"
UNREACHABLE = "http://127.0.0.1:9"
WITHOUT_CONSOLE = (  # as under pythonw.exe
    "-c",
    "import runpy, sys; sys.stdout = sys.stderr = None; "
    "runpy.run_path(sys.argv.pop(1), run_name='__main__')",
    str(PUMP),
)
SIGINT_IGNORED = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")  # as in a background job


class PumpProcess:
    """A pump that a test starts as often as it likes on the same folder."""

    def __init__(self, broker: Broker, folder: Path, url: str, key: str) -> None:
        self.broker, self.folder, self.url = broker, folder, url
        self.key_file = folder.with_suffix(".key")
        self.key_file.write_text(key)
        self.clock = "nyclose"
        self.launcher: tuple[str, ...] = ()
        self.program: tuple[str, ...] = (str(PUMP),)
        self._started: list[subprocess.Popen[str]] = []

    def kill_all(self) -> None:
        """Kill the processes that a failed test left."""
        for process in self._started:
            process.kill()
            if process.stdout and not process.stdout.closed:
                process.communicate()

    def start(self, *options: str, **environment: str) -> subprocess.Popen[str]:
        """Start the pump with both outputs in one pipe."""
        words = ["--url", self.url, "--key-file", str(self.key_file), "--dir", str(self.folder)]
        words += ["--tick-days", "9999", "--candles-every", "0.3"]
        words += ["--clock", self.clock] if self.clock else []
        variables = {"PYTHONPATH": str(STAND_IN), "FAKE_MT5": str(self.broker.folder)}
        process = subprocess.Popen(
            [*self.launcher, sys.executable, *self.program, *words, *options],
            env=clean_environment(**(variables | environment)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def run(self, *options: str, status: int = 0, **environment: str) -> str:
        """Run the pump to its end, by default with `--once`; return its output."""
        process = self.start(*(options or ("--once",)), **environment)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == status, output
        return output

    def spool_files(self) -> list[Path]:
        """Return the batches in the spool, oldest first."""
        return sorted((self.folder / "spool").glob("*.ticks"))


def stop(process: "subprocess.Popen[str]", how: signal.Signals = signal.SIGINT) -> str:
    """Stop a pump by a signal, check that it ends cleanly, and return its output."""
    process.send_signal(how)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    return output


def read_all(server: Server, what: str, symbol: str, **query: str) -> list[tuple[float, ...]]:
    """Return every tick or candle that GFIL has of a symbol."""
    rows: list[tuple[float, ...]] = []
    query = {"symbol": symbol, "from": "0", "limit": "10000", **query}
    while True:
        answer = orjson.loads(server.get(f"/api/v1/{what}?{urlencode(query)}").body)
        rows += map(tuple, answer.get(what, ()))
        if not (cursor := answer.get("next_cursor")):
            return rows
        query["cursor"] = cursor
