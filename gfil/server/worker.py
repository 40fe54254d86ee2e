"""gthread worker that assigns a thread only after the whole request head has arrived."""

import contextlib
import errno
import socket
import time
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

HEAD_TIMEOUT_S = 10.0  # for the whole head, however slowly it arrives
HEAD_BYTES_MAX = 32768
HEAD_END = b"\r\n\r\n"
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"
DRAIN_TIMEOUT_S = 0.1  # for the rest of a body that the route did not read
LINGER_S = 5.0  # for the client to stop sending, read the last answer and close
LINGER_BYTES_MAX = 64 * 1024 * 1024
RECV_BYTES = 65536
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
ACCEPT_PAUSE_S = 0.5  # or until a connection has ended


class _Connection(TConn):  # type: ignore[misc]
    worker: "Worker"
    head_due = 0.0  # deadline of the next head
    seen_bytes = 0  # of that head
    wake_bytes = 1  # SO_RCVLOWAT: bytes that must have arrived before the loop wakes
    drained_bytes = 0

    def close(self, graceful: bool = False) -> None:
        if graceful:
            self.worker.linger(self)
        else:
            super().close()


class Worker(ThreadWorker):  # type: ignore[misc]
    """gthread worker whose threads cannot be occupied by idle, slow or half-open clients.

    Gunicorn assigns a thread to a new connection for 5 s and then for as long as its head takes to
    arrive, and its loop waits up to 2 s for each client to close. A hundred idle clients stop such
    a server. Here the loop peeks at the received bytes, leaves them in the socket, and never waits.
    """

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse TLS and unix sockets.

        Raises:
            RuntimeError: TLS is on, whose heads the loop cannot read; or the server binds a unix
                socket, which ignores SO_RCVLOWAT.
        """
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise RuntimeError("GFIL does not serve TLS: use a proxy, and remove certfile here")
        if any(isinstance(address, str) for address in cfg.address):
            raise RuntimeError("GFIL does not serve unix sockets: bind HOST:PORT")

    def init_process(self) -> None:
        """Initialise the list of lingering connections."""
        self.lingering: list[_Connection] = []
        self.full_at, self.full_until = 0, 0.0
        super().init_process()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop at once, outside the signal handler: this thread may hold the lock of the pool."""
        self.alive = False
        self.method_queue.defer(super().handle_quit, sig, frame)

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection and wait for its head; pause if the process is out of resources."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another worker accepted it, or the client left
        except OSError as error:
            if error.errno not in OUT_OF_RESOURCES:
                raise
            self.log.warning("cannot accept another connection: %s", error)
            self.full_at, self.full_until = self.nr_conns, time.monotonic() + ACCEPT_PAUSE_S
            self.set_accept_enabled(False)
            return
        self.nr_conns += 1
        conn = _Connection(self.cfg, client, address, listener.getsockname())
        conn.worker = self
        self._await_head(conn)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Turn accepting on or off; it stays off while the process is out of resources."""
        is_full = self.nr_conns >= self.full_at and time.monotonic() < self.full_until
        super().set_accept_enabled(enabled and not is_full)

    def enqueue_req(self, conn: _Connection) -> None:
        """Assign a thread to a connection whose request head is complete."""
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
        if has_ended and not head:  # the usual end of a kept-alive connection
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
        """Close connections that exceeded the deadline of their head or of their close."""
        now = time.monotonic()
        for waiting in (self.pending_conns, self.lingering):
            for conn in [other for other in waiting if other.timeout <= now]:
                waiting.remove(conn)
                self._end(conn)

    def linger(self, conn: _Connection) -> None:
        """Close a connection after its client has closed: a reset would cut off the last answer.

        Many clients read no answer before they have sent the whole body, even of a refused one.
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
            count = len(client.recv(RECV_BYTES))
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
            conn.sock.recv(HEAD_BYTES_MAX)  # closing with unread bytes would send a reset
        conn.close()

    def _await_head(self, conn: _Connection, seen_bytes: int = 0) -> None:
        if not conn.head_due:
            conn.head_due = time.monotonic() + HEAD_TIMEOUT_S
        conn.timeout = conn.head_due
        conn.seen_bytes = seen_bytes
        self._wake_at(conn, seen_bytes + 1)
        self.pending_conns.append(conn)
        callback = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, EVENT_READ, callback)

    def _refuse(self, conn: _Connection) -> None:
        with contextlib.suppress(OSError):
            conn.sock.send(TOO_LONG)
        self.nr_conns -= 1
        self.linger(conn)

    def _wake_at(self, conn: _Connection, count: int) -> None:
        # Without the option, bytes left in the socket would wake the loop continuously (socket(7)).
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
    # Bytes that the parser received with the previous request.
    return b"" if conn.parser is None else bytes(conn.parser.unreader.buf.getvalue())
