"""Gunicorn settings and hooks, and the start of the server for `gfil serve`.

Gunicorn also works without `gfil serve`: `gunicorn -c python:gfil.server.gunicorn_conf wsgi:app`.
"""

import gc
import ipaddress
import logging
import os
import resource
import socket
import struct
import sys
from pathlib import Path
from typing import Any, NoReturn

from gunicorn.app.base import Application
from gunicorn.glogging import Logger
from gunicorn.util import import_app

from gfil import logs, prometheus_dir
from gfil.config import LOOPBACK, Settings, read
from gfil.errors import BadParameter, ConfigError, GfilError
from gfil.store.engine.failstop import FailStop

# A client must send or receive within these limits, or a few slow clients occupy every thread.
RECEIVE_TIMEOUT_S = 10
SEND_TIMEOUT_S = 20
BACKLOG_MAX = 2048
DRAIN_S = 21  # for a stopping worker to answer its open requests
FLUSH_S = 3  # for its jobs to store pending data after that
THREAD_FILES = 4  # open files per thread: the database, its WAL, shared memory and a socket
WORKER_FILES = 64  # open files of a worker outside its request threads

log = logging.getLogger("gfil")


class QuietLogger(Logger):  # type: ignore[misc]
    """Gunicorn's log as JSON lines; a client that timed out is no error with a traceback."""

    def setup(self, cfg: Any) -> None:
        """Apply the settings, and send GFIL's own log lines to the same stream."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.JsonLines())
        logs.configure()

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log the current exception, unless a socket reached its timeout."""
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.debug("closed a connection that timed out")
        else:
            super().exception(msg, *args, **kwargs)


def on_starting(server: Any) -> None:
    """Create the metrics directory and raise the limit of open files."""
    prometheus_dir.create()
    cfg = server.cfg
    _allow_files(cfg.worker_connections + THREAD_FILES * cfg.threads + WORKER_FILES)


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < count:
        log.warning(
            "the limit of open files is %d, the workers may need %d (ulimit -n)", most, count
        )


def when_ready(server: Any) -> None:
    """Set the socket timeouts and print the address of the server."""
    # Accepted connections inherit the timeouts on Linux (socket(7)); gunicorn has no such setting.
    for listener in server.LISTENERS:
        for option, seconds in (
            (socket.SO_RCVTIMEO, RECEIVE_TIMEOUT_S),
            (socket.SO_SNDTIMEO, SEND_TIMEOUT_S),
        ):
            listener.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", seconds, 0))
    addresses = ", ".join(map(str, server.LISTENERS))
    print(f"GFIL serves {read().db} at {addresses}", flush=True)


def post_fork(server: Any, worker: Any) -> None:
    """Restore the metrics directory if it was deleted."""
    prometheus_dir.repair()


def post_worker_init(worker: Any) -> None:
    """Start the background jobs of a worker."""
    from gfil.web import jobs  # the master does not need it

    worker.cfg.set("graceful_timeout", DRAIN_S)  # the worker's own copy
    gc.collect()
    gc.freeze()  # a collection of every loaded module stops all threads for 25 ms
    jobs.start(worker, _failstop)
    logs.log_event(logging.INFO, "worker_start", pid=worker.pid)


def worker_exit(server: Any, worker: Any) -> None:
    """Stop the background jobs of a worker that has answered its last request."""
    from gfil.web import jobs

    jobs.stop(worker)
    if worker.pid == os.getpid() and worker.nr_conns:  # a normal exit would join their threads
        status = getattr(sys.exc_info()[1], "code", 0)
        os._exit(status if isinstance(status, int) else 1)


def child_exit(server: Any, worker: Any) -> None:
    """Keep the counters of a worker that ended or was killed."""
    logs.log_event(logging.INFO, "worker_stop", pid=worker.pid)
    try:
        prometheus_dir.mark_worker_dead(worker.pid)
    except Exception as error:  # an exception here would end the master
        log.error("cannot update the metrics of worker %s: %s", worker.pid, error, exc_info=error)


def on_exit(server: Any) -> None:
    """Remove the metrics directory."""
    prometheus_dir.remove()


# Gunicorn reads every global named like one of its settings.
# Two settings keep their defaults on purpose: `preload_app`, because a connection must not cross a
# fork, and `max_requests`, because restarting a worker with open streams takes seconds.
_settings = read()
_failstop = FailStop()  # created before the fork: all workers share it
bind = "127.0.0.1:8000"
workers = _settings.workers
worker_class = "gfil.server.worker.Worker"
threads = _settings.threads
worker_connections = 4 * threads  # idle kept-alive connections occupy no thread
keepalive = 15
graceful_timeout = (
    DRAIN_S + FLUSH_S
)  # then the master kills the worker: a restart takes at most 25 s
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # heartbeats off the disk
control_socket_disable = True
limit_request_line = 8190  # 32 subscriptions in one URL
forwarded_allow_ips = ""  # GFIL_PROXIES decides which proxies are trusted
logger_class = QuietLogger
loglevel = "warning"


class _Server(Application):  # type: ignore[misc]
    def __init__(self, listener_fd: int) -> None:
        self._bind = f"fd://{listener_fd}"
        super().__init__()

    def load_config(self) -> None:
        self.load_config_from_module_name_or_filename("python:gfil.server.gunicorn_conf")
        self.cfg.set("bind", self._bind)

    def load(self) -> Any:
        return import_app("wsgi:app")


def parse_bind(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`; IPv6 hosts need brackets, port 0 is any free port.

    Raises:
        BadParameter: the text has another form.
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    plain = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    if not bare or not colon or not plain or (":" in bare) != (bare != host):
        raise BadParameter(f"--bind {text[:64]!r} is not HOST:PORT, such as 127.0.0.1:8000")
    return bare, int(port)


def listen(host: str, port: int, settings: Settings) -> tuple[socket.socket, bool]:
    """Return a listening socket, and whether its address is a loopback address.

    Raises:
        ConfigError: other machines can reach the address and GFIL_READ is unset.
        GfilError: the address is not of this machine, or the port is in use.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        loopback = ipaddress.ip_address(address[0]).is_loopback
        if settings.read is None and not loopback:
            raise ConfigError(
                f"other machines can reach {host}: set GFIL_READ=public (no key) or GFIL_READ=key"
            )
        return socket.create_server(address[:2], family=family, backlog=BACKLOG_MAX), loopback
    except (OSError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", None) or error).partition(" (while attempting")[0]
        raise GfilError(f"cannot listen on {host}:{port}: {reason}") from None


def run(listener: socket.socket, database: Path, *, loopback: bool) -> NoReturn:
    """Serve until a signal, then exit with 0, or with 1 if a worker cannot start."""
    os.environ["GFIL_DB"] = str(database)
    os.environ[LOOPBACK] = str(int(loopback))
    master = os.getpid()
    try:
        _Server(listener.detach()).run()
    except SystemExit as end:
        if os.getpid() == master and end.code:
            sys.exit(1)
        raise  # in a worker: the exit status shows the master why the worker ended
    sys.exit(0)
