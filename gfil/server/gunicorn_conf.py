"""The start of the server, and gunicorn's settings for it.

Gunicorn alone reads them with `gunicorn -c python:gfil.server.gunicorn_conf wsgi:app`.
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

# A client must send or take something within these, or a few slow ones hold all threads.
RECEIVE_TIMEOUT_S = 10
SEND_TIMEOUT_S = 20
BACKLOG_MAX = 2048
DRAIN_S = 21  # for a worker that ends to answer what it has begun
LAST_WORDS_S = 3  # and then to store what its jobs have not yet stored
THREAD_FILES = 4  # of the database and beside it, that a worker's thread may have open
WORKER_FILES = 64  # and all threads together

log = logging.getLogger("gfil")


class QuietLogger(Logger):  # type: ignore[misc]
    """Gunicorn's log, as JSON, in which a client that was too slow is no error with a traceback."""

    def setup(self, cfg: Any) -> None:
        """Take the settings; what GFIL itself has to say goes the same way."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.JsonLines())
        logs.configure()

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log what went wrong, unless it is a socket that reached its timeout."""
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.debug("A connection was too slow and is closed.")
        else:
            super().exception(msg, *args, **kwargs)


def on_starting(server: Any) -> None:
    """Make the place where the workers count, and room for all they may have open."""
    prometheus_dir.create()
    cfg = server.cfg
    _allow_files(cfg.worker_connections + THREAD_FILES * cfg.threads + WORKER_FILES)


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < count:
        log.warning("only %d files may be open where %d may be needed (ulimit -n)", most, count)


def when_ready(server: Any) -> None:
    """Put the timeouts on the listening sockets and print where the server is."""
    # Linux hands them on to every accepted connection (socket(7)); gunicorn has no such setting.
    for listener in server.LISTENERS:
        for option, seconds in (
            (socket.SO_RCVTIMEO, RECEIVE_TIMEOUT_S),
            (socket.SO_SNDTIMEO, SEND_TIMEOUT_S),
        ):
            listener.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", seconds, 0))
    places = ", ".join(map(str, server.LISTENERS))
    print(f"GFIL serves {read().db} at {places}", flush=True)


def post_fork(server: Any, worker: Any) -> None:
    """See that there is a place where the worker can count."""
    prometheus_dir.repair()


def post_worker_init(worker: Any) -> None:
    """Start the jobs of a worker."""
    from gfil.web import jobs  # a worker has it loaded; the master never needs it

    worker.cfg.set("graceful_timeout", DRAIN_S)  # the worker's own copy
    gc.collect()
    gc.freeze()  # what is loaded stays: to walk it all again and again stops every thread for 25 ms
    jobs.start(worker, _failstop)
    logs.say(logging.INFO, "worker_start", pid=worker.pid)


def worker_exit(server: Any, worker: Any) -> None:
    """Stop the jobs of a worker that has answered its last request."""
    from gfil.web import jobs

    jobs.stop(worker)
    if worker.pid == os.getpid() and worker.nr_conns:  # its end would wait for their threads
        status = getattr(sys.exc_info()[1], "code", 0)
        os._exit(status if isinstance(status, int) else 1)


def child_exit(server: Any, worker: Any) -> None:
    """Keep what a worker that ended, or was killed, has counted."""
    logs.say(logging.INFO, "worker_stop", pid=worker.pid)
    try:
        prometheus_dir.keep(worker.pid)
    except Exception as error:  # whatever it was: what it raises would end the master
        log.error("what worker %s counted is lost: %s", worker.pid, error, exc_info=error)


def on_exit(server: Any) -> None:
    """Remove the place where the workers counted."""
    prometheus_dir.remove()


# What gunicorn reads from here is every global that bears the name of one of its settings.
# Left at their defaults on purpose: `preload_app` (a connection must not cross a fork) and
# `max_requests` (with streams open a worker's restart costs seconds of outage).
_settings = read()
_failstop = FailStop()  # made before the workers are: they share it
bind = "127.0.0.1:8000"
workers = _settings.workers
worker_class = "gfil.server.worker.Worker"
threads = _settings.threads
worker_connections = 4 * threads  # beyond the threads: idle kept-alive connections, which hold none
keepalive = 15
graceful_timeout = DRAIN_S + LAST_WORDS_S  # then the master kills: a restart ends within 25 s
worker_tmp_dir = (
    "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
)  # a heartbeat is no disk I/O
control_socket_disable = True
limit_request_line = 8190  # 32 subscriptions in one URL
forwarded_allow_ips = ""  # whom to believe is GFIL_PROXIES' business
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
    """Return host and port of `HOST:PORT`; an IPv6 host stands in brackets, port 0 is any free one.

    Raises:
        BadParameter: it is something else.
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    plain = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    if not bare or not colon or not plain or (":" in bare) != (bare != host):
        raise BadParameter(f"--bind {text[:64]!r} is not HOST:PORT, such as 127.0.0.1:8000")
    return bare, int(port)


def listen(host: str, port: int, settings: Settings) -> tuple[socket.socket, bool]:
    """Return a listening socket, and whether only this machine reaches it.

    Raises:
        ConfigError: others reach it, and nobody has said who may read.
        GfilError: the address is not this machine's, or its port is taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        loopback = ipaddress.ip_address(address[0]).is_loopback
        if settings.read is None and not loopback:
            raise ConfigError(
                f"others may reach {host}: set GFIL_READ=public (anybody reads) or GFIL_READ=key"
            )
        return socket.create_server(address[:2], family=family, backlog=BACKLOG_MAX), loopback
    except (OSError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", None) or error).partition(" (while attempting")[0]
        raise GfilError(f"cannot listen on {host}:{port}: {reason}") from None


def run(listener: socket.socket, database: Path, *, loopback: bool) -> NoReturn:
    """Serve until a signal ends it, then leave the program: 0, or 1 when a worker cannot start."""
    os.environ["GFIL_DB"] = str(database)
    os.environ[LOOPBACK] = str(int(loopback))
    master = os.getpid()
    try:
        _Server(listener.detach()).run()
    except SystemExit as end:
        if os.getpid() == master and end.code:
            sys.exit(1)
        raise  # a worker's own status tells the master why it ended
    sys.exit(0)
