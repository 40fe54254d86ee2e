"""Tests of gfil/server/gunicorn_conf.py with the real server."""

import http.client
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest

from gfil.config import ROOT, Settings
from gfil.errors import BadParameter, ConfigError, GfilError
from gfil.server import gunicorn_conf
from tests.conftest import STOP_MAX_S, Server, clean_environment, limit_s, wait_for

GUNICORN = [sys.executable, "-m", "gunicorn", "-c", "python:gfil.server.gunicorn_conf"]


@pytest.fixture(scope="module")
def running(server: Callable[..., Server]) -> Server:
    return server()


def gfil_serve(*arguments: str, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "gfil", "serve", *arguments],
        cwd=ROOT,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("localhost:0", ("localhost", 0)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
        ("[::1]:8000", ("::1", 8000)),
    ],
)
def test_bind_is_host_and_port(text: str, place: tuple[str, int]) -> None:
    assert gunicorn_conf.parse_bind(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8000",
        ":8000",
        "a:",
        "a:b",
        "a:-1",
        "a:65536",
        "a:٣",
        "::1:80",
        "[a]:80",
        "a:9" + "9" * 5000,
    ],
)
def test_other_bind_is_refused(text: str) -> None:
    with pytest.raises(BadParameter, match="is not HOST:PORT"):
        gunicorn_conf.parse_bind(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost"])
def test_loopback_needs_no_read_setting(host: str, unsaid: Settings) -> None:
    listener, loopback = gunicorn_conf.listen(host, 0, unsaid)
    listener.close()
    assert loopback


@pytest.fixture
def unsaid(settings: Settings) -> Settings:
    return replace(settings, read=None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_address_needs_the_read_setting(host: str, unsaid: Settings) -> None:
    with pytest.raises(ConfigError) as caught:
        gunicorn_conf.listen(host, 0, unsaid)
    assert caught.value.detail == (
        f"other machines can reach {host}: set GFIL_READ=public (no key) or GFIL_READ=key"
    )


def test_read_setting_allows_any_address(settings: Settings) -> None:
    listener, loopback = gunicorn_conf.listen("0.0.0.0", 0, settings)
    listener.close()
    assert not loopback


def test_address_of_another_machine_is_refused(settings: Settings) -> None:
    with pytest.raises(GfilError) as caught:
        gunicorn_conf.listen("192.0.2.1", 8000, settings)
    assert caught.value.detail == (
        "cannot listen on 192.0.2.1:8000: Cannot assign requested address"
    )


def test_serve_creates_the_database_and_prints_its_url(running: Server) -> None:
    assert running.said() == f"GFIL serves {running.db} at {running.url}\n"
    assert running.db.is_file()


def test_server_answers_on_a_kept_alive_connection(running: Server) -> None:
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=120)
    statuses = []
    for _ in range(3):
        connection.request("GET", "/no-such-page")
        response = connection.getresponse()
        response.read()
        statuses.append((response.status, response.will_close))
    connection.close()
    assert statuses == [(404, False)] * 3


def test_port_in_use_is_one_line(running: Server, tmp_path: Path) -> None:
    place = urlsplit(running.url).netloc
    assert gfil_serve("--bind", place, GFIL_DB=str(tmp_path / "a.db")) == (
        1,
        "",
        f"gfil: cannot listen on {place}: Address already in use\n",
    )


def test_public_address_without_read_setting_is_one_line(tmp_path: Path) -> None:
    assert gfil_serve("--bind", "0.0.0.0:0", GFIL_DB=str(tmp_path / "a.db")) == (
        1,
        "",
        "gfil: other machines can reach 0.0.0.0: set GFIL_READ=public (no key) or GFIL_READ=key\n",
    )
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize(
    ("arguments", "environment", "status", "line"),
    [
        (["--bind", "8000"], {}, 2, "--bind '8000' is not HOST:PORT, such as 127.0.0.1:8000"),
        (
            [],
            {"GFIL_READ": "all"},
            1,
            "GFIL_READ (in the environment) must be public or key, not 'all'",
        ),
    ],
)
def test_wrong_start_is_one_line(
    arguments: list[str], environment: dict[str, str], status: int, line: str
) -> None:
    assert gfil_serve(*arguments, **environment) == (status, "", f"gfil: {line}\n")


FEW_FILES = """
import resource
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
from gfil.cli import cli
cli()
"""


def test_limit_of_open_files_is_raised(tmp_path: Path) -> None:
    """Independent of the soft limit of the shell."""
    with started(tmp_path, [sys.executable, "-c", FEW_FILES, "serve"], {}) as own:
        children = Path(f"/proc/{own.process.pid}/task/{own.process.pid}/children")
        worker = wait_for(lambda: children.read_text().split(), "a worker")[0]
        limits = Path(f"/proc/{worker}/limits").read_text()
    found = re.search(r"Max open files +(\d+)", limits)
    assert found
    assert int(found[1]) == 4 * 128 + 4 * 128 + 64


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_server_with_status_0(
    server: Callable[..., Server], how: signal.Signals
) -> None:
    own = server(GFIL_WORKERS="1")
    assert own.stop(how) == 0
    assert own.said() == f"GFIL serves {own.db} at {own.url}\n"
    assert [line["event"] for line in own.events()] == ["worker_start", "worker_stop"]


def test_half_a_request_times_out_without_a_log_line(running: Server) -> None:
    place = urlsplit(running.url)
    with socket.create_connection((place.hostname, place.port), timeout=120) as half:
        half.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        began = time.monotonic()
        assert half.recv(100) == b""
        assert time.monotonic() - began < limit_s(2 * gunicorn_conf.RECEIVE_TIMEOUT_S)
    assert {line["level"] for line in running.events()} == {"info"}
    assert running.said() == f"GFIL serves {running.db} at {running.url}\n"


def gunicorn(folder: Path, app: str, **environment: str) -> AbstractContextManager[Server]:
    return started(folder, [*GUNICORN, app], environment)


def gfil_server(folder: Path, *words: str, **environment: str) -> AbstractContextManager[Server]:
    return started(folder, [sys.executable, "-P", "-m", "gfil", "serve", *words], environment)


@contextmanager
def started(folder: Path, command: list[str], environment: dict[str, str]) -> Iterator[Server]:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--bind", "127.0.0.1:0"],
            cwd=folder,
            env=clean_environment(**{"GFIL_DB": str(folder / "a.db"), **environment}),
            stdout=output,
            stderr=output,
        )
    try:
        url = wait_for(lambda: re.search(r"http://\S+", log.read_text()), "the URL")[0]
        yield Server(url, folder / "a.db", log, process)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_MAX_S) == 0


def test_gunicorn_without_serve_uses_the_same_settings(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "wsgi:app", GFIL_WORKERS="3") as own:
        assert own.said() == f"GFIL serves {own.db} at {own.url}\n"
        children = Path(f"/proc/{own.process.pid}/task/{own.process.pid}/children")
        wait_for(lambda: len(children.read_text().split()) == 3, "three workers")


def test_demo_has_its_own_database_and_shows_candles(tmp_path: Path) -> None:
    """In a copy of the checkout, because the path of the demo database is fixed."""
    for name in ("gfil", "static", "templates", "wsgi.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "gfil").unlink()
    shutil.copytree(ROOT / "gfil", tmp_path / "gfil", ignore=shutil.ignore_patterns("__pycache__"))
    mine = tmp_path / "mine.db"
    with gfil_server(tmp_path, "--demo", PYTHONPATH=str(tmp_path), GFIL_DB=str(mine)) as own:
        demo = tmp_path / "data" / "demo.db"
        assert own.said().splitlines() == [
            "Generating the demo history…",
            f"GFIL serves {demo} at {own.url}",
        ]
        assert len(orjson.loads(own.get("/api/v1/symbols").body)["symbols"]) >= 2
        assert not mine.exists()


PROBE = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['wsgi.url_scheme']} {environ['SCRIPT_NAME']!r}".encode()]
"""


def test_forwarded_header_alone_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    with gunicorn(tmp_path, "probe:app") as own:
        answer = own.get("/", X_Forwarded_Proto="https", Script_Name="/evil")
    assert answer.body == b"http ''"


def test_worker_that_cannot_start_ends_the_server_with_status_1(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_START],
        cwd=ROOT,
        env=clean_environment(GFIL_DB=str(tmp_path / "a.db")),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1


BROKEN_START = """
import os, socket
from pathlib import Path
from gfil import serve
listener = socket.create_server(("127.0.0.1", 0))
os.environ["GFIL_READ"] = "nobody"
serve.run(listener, Path(os.environ["GFIL_DB"]), loopback=True)
"""
