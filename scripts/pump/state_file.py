"""The state file: the progress of each symbol, read again at the next start."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

SAVE_EVERY_S = 5


class StateFile:
    """The file `state.json`: the progress of each symbol, by its name in GFIL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._save_due = 0.0
        self.symbols: dict[str, dict[str, Any]] = {}
        with suppress(OSError, ValueError):  # without the file, GFIL's rows decide
            self.symbols = dict(json.loads((folder / "state.json").read_text("utf-8")))

    def of(self, target: str) -> dict[str, Any]:
        """Return the state of a symbol, an empty one for a symbol without any."""
        return self.symbols.setdefault(target, {})

    def save(self) -> None:
        """Replace the file; a full disk leaves the file as it is."""
        self._save_due = time.monotonic() + SAVE_EVERY_S
        new = self._folder / "state.new"
        with suppress(OSError):
            with new.open("w", encoding="utf-8") as file:
                json.dump(self.symbols, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._folder / "state.json")

    def save_if_due(self) -> None:
        """Save unless the last save was less than SAVE_EVERY_S ago."""
        if time.monotonic() > self._save_due:
            self.save()
