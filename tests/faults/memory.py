"""Memory of a worker: now, and its peak."""

import re
from pathlib import Path

from tests.conftest import Server

GROWTH_MAX_MB = 32  # by one request


class Worker:
    """The memory of a server's only worker."""

    def __init__(self, server: Server) -> None:
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        self._proc = Path(f"/proc/{children.read_text().split()[0]}")

    def begin(self) -> int:
        """Reset the peak; return the current memory in MB."""
        (self._proc / "clear_refs").write_text("5")
        return self._read("VmRSS")

    def peak(self) -> int:
        """Return the peak since `begin`, in MB."""
        return self._read("VmHWM")

    def _read(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+)", (self._proc / "status").read_text())
        assert found
        return int(found[1]) // 1024
