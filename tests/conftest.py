"""Shared fixtures: a database file, a client on it, a real server, the sample files.

Importing this module also makes the tests independent of the machine: it resets inherited signal
dispositions, fixes the seed and removes Hypothesis's time limits.
"""

import contextlib
import http.client
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import apsw
import hypothesis
import orjson
import pytest
from flask.testing import FlaskClient

from gfil import config, create_app
from gfil.store.engine import connection

ROOT = config.ROOT
START_MAX_S = 120
STOP_MAX_S = 120
WAIT_MAX_S = 120  # far longer than any wait on an idle machine: a passing test never gets there
BUSY_FACTOR = 1 if os.environ.get("GFIL_LONG") == "1" else 4


def reset_signals() -> None:
    """Let every child process start with default signal dispositions.

    `nohup` and the `&` of a script ignore SIGHUP or SIGINT, and a child inherits an ignored signal
    through exec. A signal with a handler becomes a default one there.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # the tests themselves survive a logout
    for name in (signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        if signal.getsignal(name) == signal.SIG_IGN:
            signal.signal(name, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def choose_seed() -> str:
    """Return GFIL_SEED: 1 by default, a new number for `random`, which child processes inherit."""
    chosen = os.environ.get("GFIL_SEED", "1")
    if chosen == "random":
        chosen = str(random.SystemRandom().randrange(10**6))
    os.environ["GFIL_SEED"] = chosen
    return chosen


def load_hypothesis_profile(*, is_random: bool) -> None:
    """Remove the time limits of Hypothesis; its examples are the same in each run by default."""
    hypothesis.settings.register_profile(
        "gfil",
        deadline=None,
        derandomize=not is_random,
        print_blob=True,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("gfil")


def cache_bytecode() -> None:
    """Cache bytecode also where the environment says not to: a run starts hundreds of processes."""
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


reset_signals()
cache_bytecode()
load_hypothesis_profile(is_random=os.environ.get("GFIL_SEED", "1") != "1")
SEED = choose_seed()


# These start first in a parallel run, so that no long file is left for its end.
LONG_FIRST = ("test_bench.py", "test_scripts.py", "faults", "browser", "demo", "server", "pump")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files and folders in front; the order within a file stays."""
    ranks = {name: rank for rank, name in enumerate(LONG_FIRST)}
    folder = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        return ranks.get(item.path.relative_to(folder).parts[0], len(ranks))

    items.sort(key=rank)


def pytest_report_header() -> str:
    """Print the seed that repeats this run."""
    return f"GFIL_SEED={SEED}"


def limit_s(seconds: float) -> float:
    """A time limit of the product as a test asserts it: exact with GFIL_LONG=1.

    Otherwise it is wider, because the machine may be busy with other tests.
    """
    return seconds * BUSY_FACTOR


def wait_for(check: Callable[[], Any], what: str, seconds: float = WAIT_MAX_S) -> Any:
    """Return the first true answer of `check`; fail the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := check()):
        if time.monotonic() > deadline:
            pytest.fail(f"still waiting after {seconds} s: {what}")
        time.sleep(0.02)
    return answer


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """`eventually(check, what)`: poll until a check is true; a test never sleeps for luck."""
    return wait_for


@pytest.fixture
def db_path(tmp_path: Path) -> Path:
    """The path of an empty database file."""
    path = tmp_path / "gfil.db"
    connection.create(path)
    return path


@pytest.fixture
def db(db_path: Path) -> Iterator[apsw.Connection]:
    """A writing connection to `db_path`."""
    db = connection.connect(db_path)
    yield db
    db.close()


@pytest.fixture
def settings(db_path: Path) -> config.Settings:
    """The default settings on `db_path`, with public reading."""
    return config.read({"GFIL_DB": str(db_path), "GFIL_READ": "public"}, db_path.parent)


@pytest.fixture
def client(settings: config.Settings) -> FlaskClient:
    """A test client of the application on `db_path`, without a server."""
    return create_app(settings).test_client()


SAMPLES = ROOT / "tests" / "data" / "brokers"
WHOLE_FILES = ROOT.parent / "shared" / "data"


def broker_folders(samples: Path) -> list[Any]:
    """Return the samples, and the whole files where they lie beside the checkout."""
    whole = [pytest.param(WHOLE_FILES, id="whole")] if WHOLE_FILES.is_dir() else []
    return [pytest.param(samples, id="samples"), *whole]


@pytest.fixture(scope="session", params=broker_folders(SAMPLES))
def shared_data(request: pytest.FixtureRequest) -> Path:
    """A folder of brokers' files: a test runs with the samples, and with the whole files."""
    folder: Path = request.param
    return folder


@pytest.fixture(scope="session", params=broker_folders(SAMPLES / "hours"))
def shared_hours(request: pytest.FixtureRequest) -> Path:
    """The same for tests that need weeks of times, but no prices."""
    folder: Path = request.param
    return folder


@dataclass
class Answer:
    """An answer of the server."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass
class Server:
    """A running `gfil serve`; `log` is the file with its output."""

    url: str
    db: Path
    log: Path
    process: subprocess.Popen[bytes]

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send one request on a new connection; `_` in a header's name becomes `-`."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=120)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        """Send a GET request."""
        return self.request("GET", path, **headers)

    def said(self) -> str:
        """Return the output for people: all lines but the JSON ones."""
        lines = self.log.read_text().splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("{"))

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return the JSON log lines of the given event names, or all of them."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        logged = [orjson.loads(line) for line in whole.split("\n") if line.startswith("{")]
        return [line for line in logged if not names or line["event"] in names]

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Stop the server and return its exit status."""
        self.process.send_signal(how)
        return self.process.wait(STOP_MAX_S)


def clean_environment(**overrides: str) -> dict[str, str]:
    """Return the environment without the GFIL settings of the caller."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GFIL_")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **overrides}


def gfil(db_path: Path, *words: str) -> tuple[int, str, str]:
    """Run a command on a database; return exit status, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "gfil", *words],
        cwd=ROOT,
        env=clean_environment(GFIL_DB=str(db_path)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="session")
def servers() -> Iterator[list[Server]]:
    """The servers that `server` has started; the fixture waits for their end."""
    started: list[Server] = []
    yield started
    _end(started)
    for running in started:
        running.process.wait(STOP_MAX_S)


@pytest.fixture(scope="session")
def server(
    servers: list[Server], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Server]:
    """`server(*arguments, GFIL_X="y", …)` starts a real server, on a new database by default."""

    def start(*arguments: str, **environment: str) -> Server:
        folder = tmp_path_factory.mktemp("server")
        environment.setdefault("GFIL_DB", str(folder / "gfil.db"))
        servers.append(_start(folder, arguments, environment))
        return servers[-1]

    return start


@pytest.fixture(autouse=True)
def end_own_servers(servers: list[Server]) -> Iterator[None]:
    """End the servers that a test started for itself, so that they slow no later test.

    Fixtures of wider scope run first, so servers that tests share have been started by now. A
    server that a test restarts at the address of a shared one replaces it.
    """
    shared = [each.url for each in servers]
    yield
    _end(each for each in servers[len(shared) :] if each.url not in shared)


def _end(running: Iterable[Server]) -> None:
    for each in running:
        if each.process.poll() is None:
            each.process.send_signal(signal.SIGTERM)


def _start(folder: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> Server:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gfil", "serve", "--bind", "127.0.0.1:0", *arguments],
            cwd=folder,
            env=clean_environment(**environment),
            stdout=output,
            stderr=output,
        )

    def printed() -> str:
        if process.poll() is not None:
            pytest.fail(f"the server ended with {process.returncode}: {log.read_text()}")
        return log.read_text()

    def answers() -> bool:
        printed()  # fails when the server has ended
        with contextlib.suppress(OSError, http.client.HTTPException):
            return bool(running.get("/").status)
        return False

    try:
        url = wait_for(lambda: re.search(r"http://\S+", printed()), "the URL", START_MAX_S)[0]
        running = Server(url, Path(environment["GFIL_DB"]), log, process)
        wait_for(answers, "the server's first answer", START_MAX_S)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return running
