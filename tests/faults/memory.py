"""How much memory a worker takes, now and at most."""

import re
from pathlib import Path

from tests.conftest import Server

GROWTH_MAX_MB = 32  # by one request


class Worker:
    """The one worker of a server: how much memory it takes."""

    def __init__(self, server: Server) -> None:
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        self._proc = Path(f"/proc/{children.read_text().split()[0]}")

    def begin(self) -> int:
        """Forget the most it ever took; return what it takes now, in MB."""
        (self._proc / "clear_refs").write_text("5")
        return self._read("VmRSS")

    def peak(self) -> int:
        """Return the most it took since."""
        return self._read("VmHWM")

    def _read(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+)", (self._proc / "status").read_text())
        assert found
        return int(found[1]) // 1024
