"""Tests of gfil/server/worker.py without real clients."""

import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from gfil.config import ROOT
from gfil.server.worker import Worker, _Connection
from tests.conftest import clean_environment

GUNICORN = "27.0.1"
LEANS_ON = (
    "accept check_config close enqueue_req finish_request handle_quit init_process murder_pending "
    "on_pending_socket_readable run set_accept_enabled _accepting _cap_keepalive _keepalive_after "
    "method_queue nr_conns pending_conns poller TConn.data_ready TConn.parser.finish_body "
    "TConn.parser.unreader.buf TConn.timeout"
)


def test_gunicorn_version_is_the_tested_one() -> None:
    assert version("gunicorn") == GUNICORN, (
        f"gfil/worker.py leans on {LEANS_ON}: read gunicorn/workers/gthread.py again"
    )


@pytest.fixture
def own() -> Iterator[Worker]:
    """Worker that has not started."""
    cfg = Config()
    made = Worker(1, os.getpid(), [], None, 30, cfg, Logger(cfg))
    made.poller, made.lingering = selectors.DefaultSelector(), []
    yield made
    made.poller.close()
    made.tmp.close()


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Both ends of two connections."""
    with ExitStack() as until:
        made = [socket.socketpair() for _ in range(2)]
        for pair in made:
            for end in pair:
                until.enter_context(end)
        yield made


def connection(worker: Worker, sock: socket.socket) -> _Connection:
    conn = _Connection(worker.cfg, sock, "", "")
    conn.worker = worker
    return conn


def test_closing_client_ends_its_own_connection_only(
    own: Worker, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    """Also if another connection, past its deadline, sends at the same moment."""
    (leaving, leaver), (late, sender) = pairs
    waiting = connection(own, late)
    waiting.head_due = 0.001  # long past
    own.nr_conns = 1
    own.linger(connection(own, leaving))
    own._await_head(waiting)
    leaver.close()
    sender.send(b"G")
    own.wait_for_and_dispatch_events(1.0)
    assert (own.lingering, list(own.pending_conns), own.nr_conns) == ([], [waiting], 1)
    own.murder_pending()
    assert (list(own.pending_conns), own.nr_conns, sender.recv(1)) == ([], 0, b"")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--certfile", "a"], "GFIL does not serve TLS: use a proxy, and remove certfile here"),
        (["--keyfile", "a"], "GFIL does not serve TLS: use a proxy, and remove certfile here"),
        (["--bind", "unix:a.sock"], "GFIL does not serve unix sockets: bind HOST:PORT"),
    ],
)
def test_tls_and_unix_sockets_are_refused_in_one_line(
    tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "a").touch()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            "python:gfil.server.gunicorn_conf",
            *words,
            "wsgi:app",
        ],
        cwd=tmp_path,
        env=clean_environment(PYTHONPATH=str(ROOT), GFIL_DB=str(tmp_path / "a.db")),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (1, "", f"Error: {said}")
