"""Sending ticks: the batches of the spool to GFIL."""

import time

from scripts.pump.progress import Progress
from scripts.pump.server import Server
from scripts.pump.spool import Spool, newest_times_msc
from scripts.pump.state_file import StateFile

TICK_HEADER = b"symbol,time_msc,bid,ask,last,volume,flags\n"


class TickSender:
    """Sends the batches of the spool, oldest first."""

    def __init__(
        self, server: Server, spool: Spool, state_file: StateFile, progress: Progress
    ) -> None:
        self._server = server
        self._spool = spool
        self._state_file = state_file
        self._progress = progress

    def send(self, deadline: float) -> None:
        """Send batches until the spool is empty or time.monotonic() reaches the deadline."""
        while batch := self._spool.first():
            if batch.lines:
                self._send_batch(batch.idempotency_key, batch.lines)
            self._spool.drop_first(len(batch.lines))
            self._progress.ticks_sent += len(batch.lines)
            if time.monotonic() > deadline:
                break
        self._state_file.save_if_due()

    def _send_batch(self, idempotency_key: str, lines: list[bytes]) -> None:
        answer = self._server.post_rows("/api/v1/ticks", TICK_HEADER, lines, idempotency_key)
        stored_msc = answer.get("last", {})
        for target, time_msc in newest_times_msc(lines).items():
            state = self._state_file.of(target)
            state["acked"] = max(time_msc, state.get("acked", 0))
            state["stored"] = max(stored_msc.get(target, 0), state.get("stored", 0))
