"""Counts of this run: ticks sent, and failures of the terminal."""

from dataclasses import dataclass

from scripts.pump.errors import TerminalUnavailable
from scripts.pump.log import warn_rarely


@dataclass
class Progress:
    """Shared by the parts that read and send."""

    ticks_sent: int = 0
    terminal_failures: int = 0  # since ticks were last sent

    def count_failure(self, error: TerminalUnavailable) -> None:
        """Count and log a failure of the terminal; the caller tries again later."""
        self.terminal_failures += 1
        warn_rarely(f"terminal: {error}; the pump tries again", key="terminal")
