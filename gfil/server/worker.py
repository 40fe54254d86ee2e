"""A worker of gunicorn whose threads wait for nobody: a request gets one when its head is there."""

import contextlib
import errno
import socket
import time
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

HEAD_TIMEOUT_S = 10.0  # for the whole of it, however it drips
HEAD_BYTES_MAX = 32768
HEAD_END = b"\r\n\r\n"
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"
DRAIN_TIMEOUT_S = 0.1  # for what is left of a body that nobody wanted
LINGER_S = 5.0  # for the client to stop sending, take the last answer and close
LINGER_BYTES_MAX = 64 * 1024 * 1024
PIECE_BYTES = 65536
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
NO_ROOM_S = 0.5  # or until a connection has ended


class _Connection(TConn):  # type: ignore[misc]
    worker: "Worker"
    head_due = 0.0  # when its next head has to be there
    seen_bytes = 0  # of it
    wake_bytes = 1  # so many must have come for the loop to look
    drained_bytes = 0

    def close(self, graceful: bool = False) -> None:
        if graceful:
            self.worker.linger(self)
        else:
            super().close()


class Worker(ThreadWorker):  # type: ignore[misc]
    """Gunicorn's threads, none of which idle, slow or half-open clients can hold.

    Gunicorn gives a new connection a thread for 5 s to begin and then for as long as its head
    drips in, and its loop waits up to 2 s for each client to close: some hundred that do nothing
    stop a server. Here the loop looks at what has come, leaves it where it is, and never waits.
    """

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse what the loop cannot look into, as gunicorn ends for a wrong setting.

        Raises:
            RuntimeError: TLS, whose heads come encrypted; or a unix socket, which cannot wait for
                more than a byte.
        """
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise RuntimeError("GFIL serves no TLS: put a proxy in front, without certfile here")
        if any(isinstance(place, str) for place in cfg.address):
            raise RuntimeError("GFIL serves no unix socket: bind HOST:PORT")

    def init_process(self) -> None:
        """Begin with nobody that is to close, and room."""
        self.lingering: list[_Connection] = []
        self.full_at, self.full_until = 0, 0.0
        super().init_process()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """End at once, but not here: the signal may have come while the pool's lock was held."""
        self.alive = False
        self.method_queue.defer(super().handle_quit, sig, frame)

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection, if there is room, and wait for its head."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another worker took it, or it is gone
            return
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self.log.warning("no room for another connection: %s", error)
            self.full_at, self.full_until = self.nr_conns, time.monotonic() + NO_ROOM_S
            self.set_accept_enabled(False)
            return
        self.nr_conns += 1
        conn = _Connection(self.cfg, client, address, listener.getsockname())
        conn.worker = self
        self._await_head(conn)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Take new connections or none; also none while there is no room for another."""
        is_full = self.nr_conns >= self.full_at and time.monotonic() < self.full_until
        super().set_accept_enabled(enabled and not is_full)

    def enqueue_req(self, conn: _Connection) -> None:
        """Give a connection a thread once the head of a request is all there."""
        conn.data_ready = True
        conn.sock.setblocking(False)
        try:
            seen = conn.sock.recv(HEAD_BYTES_MAX, socket.MSG_PEEK)
            has_ended = len(seen) <= conn.seen_bytes
        except BlockingIOError:
            seen, has_ended = b"", False
        except OSError:
            seen, has_ended = b"", True
        head = _read_ahead(conn) + seen
        if has_ended and not head:  # as most clients end
            self.nr_conns -= 1
            conn.close()
        elif has_ended or HEAD_END in head:
            self._wake_at(conn, 1)
            conn.seen_bytes, conn.head_due = 0, 0.0
            super().enqueue_req(conn)
        elif len(head) < HEAD_BYTES_MAX:
            self._await_head(conn, len(seen))
        else:
            self._refuse(conn)

    def murder_pending(self) -> None:
        """Close connections whose head, or whose client's end, has not come in time."""
        now = time.monotonic()
        for waiting in (self.pending_conns, self.lingering):
            for conn in [each for each in waiting if each.timeout <= now]:
                waiting.remove(conn)
                self._end(conn)

    def linger(self, conn: _Connection) -> None:
        """Close a connection once its client has: a reset would cut off the last answer.

        Many clients read no answer before they have sent all of a body that is refused.
        """
        self.nr_conns += 1
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.nr_conns -= 1
            conn.close()
            return
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + LINGER_S
        self.lingering.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self._drain, conn))

    def _drain(self, conn: _Connection, client: socket.socket) -> None:
        try:
            count = len(client.recv(PIECE_BYTES))
        except BlockingIOError:
            return
        except OSError:
            count = 0
        conn.drained_bytes += count
        if not count or conn.drained_bytes > LINGER_BYTES_MAX:
            self.lingering.remove(conn)
            self._end(conn)

    def _end(self, conn: _Connection) -> None:
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        with contextlib.suppress(OSError):
            conn.sock.recv(HEAD_BYTES_MAX)  # unread, it would make the end a reset
        conn.close()

    def _await_head(self, conn: _Connection, seen_bytes: int = 0) -> None:
        if not conn.head_due:
            conn.head_due = time.monotonic() + HEAD_TIMEOUT_S
        conn.timeout = conn.head_due
        conn.seen_bytes = seen_bytes
        self._wake_at(conn, seen_bytes + 1)
        self.pending_conns.append(conn)
        awake = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, EVENT_READ, awake)

    def _refuse(self, conn: _Connection) -> None:
        with contextlib.suppress(OSError):
            conn.sock.send(TOO_LONG)
        self.nr_conns -= 1
        self.linger(conn)

    def _wake_at(self, conn: _Connection, count: int) -> None:
        # Without this what is left where it is would wake the loop again and again (socket(7)).
        if count != conn.wake_bytes:
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            conn.wake_bytes = count

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = conn.head_due = min(conn.timeout, deadline)

    def _keepalive_after(self, conn: _Connection, keepalive: bool) -> bool:
        if not keepalive:
            return False
        return bool(conn.parser.finish_body(deadline=time.monotonic() + DRAIN_TIMEOUT_S))


def _read_ahead(conn: _Connection) -> bytes:
    # What came along with the request before.
    return b"" if conn.parser is None else bytes(conn.parser.unreader.buf.getvalue())
