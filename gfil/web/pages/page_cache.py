"""Page cache: rendered chart pages and their shells, keyed by all that they depend on."""

import math
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

ENTRIES_MAX = 384


class PageCache:
    """Cache that drops the least recently used entry when it is full; each entry can expire.

    The key of a page holds the epoch of the database and the symbol with its change number, so a
    commit that touches the symbol makes a new key and the old entry is never found again.
    """

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    def get(self, key: Hashable, now: float) -> Any:
        """Return the entry of a key, None where it is missing or has expired."""
        with self._lock:
            expires, value = self._entries.get(key, (-math.inf, None))
            if expires <= now:
                return None
            self._entries.move_to_end(key)
            return value

    def put(self, key: Hashable, value: Any, expires: float = math.inf) -> None:
        """Store an entry; the least recently used entry is dropped when the cache is full."""
        with self._lock:
            self._entries[key] = (expires, value)
            self._entries.move_to_end(key)
            if len(self._entries) > self._entries_max:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        """Remove every entry."""
        with self._lock:
            self._entries.clear()


PAGES = PageCache()
"""The page cache of this process."""
