"""How often the log says one thing."""

from __future__ import annotations

from collections.abc import Callable

INTERVAL = 60.0
"""Seconds between two lines about one key."""

MAX_KEYS = 100
"""Keys about which there is a line in an interval. Peers choose the
idents among them."""


class Rate:
    """Lets one line per key and interval through, and counts what is kept back."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._begun = float("-inf")
        self._counts: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def count(self, key: str) -> int:
        """0: nothing is to be said now. Else how often it has happened since the last line."""
        now = self._time()
        if now >= self._begun + INTERVAL:
            self._begun = now
            # What was kept back in the interval before is told with the next line.
            self._last = {key: count for key, count in self._counts.items() if count}
            self._counts = {}
        if key in self._counts:
            self._counts[key] += 1
            return 0
        if len(self._counts) >= MAX_KEYS:
            return 0
        self._counts[key] = 0
        return 1 + self._last.pop(key, 0)
