"""The clock of a storage, by which it counts ttl."""

from __future__ import annotations

from collections.abc import Callable


class OwnerClock:
    """Counts the seconds for which a storage has been open, over all its owners so far.

    The clock stands still while the storage is closed, and so does every ttl that it measures: no
    row has to be rewritten as time passes, nor when a process restarts.

    ``clock``: a monotonic clock in seconds, with any origin.

    ``elapsed``: the reading that the last owner left behind.
    """

    def __init__(self, clock: Callable[[], float], elapsed: float) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self._opened_at = clock()

    def now(self) -> float:
        """Return the current reading, which is stored beside the ttl of a message."""
        # The difference first, because floats are rounded: while the clock stands still, the
        # reading is exactly what was stored, and so is every ttl.
        return self._elapsed + (self._clock() - self._opened_at)


def ttl_left(ttl: float | None, stored_at: float, now: float) -> float | None:
    """Return the seconds left of a ttl: 0.0 for an expired message, never less.

    ``ttl``: what was left when the :class:`OwnerClock` read ``stored_at``; ``None`` for no limit.
    ``now``: what the clock reads now.
    """
    if ttl is None:
        return None
    return max(0.0, ttl - max(0.0, now - stored_at))
