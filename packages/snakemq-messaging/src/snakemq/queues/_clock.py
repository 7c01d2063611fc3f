"""The storage's own clock."""

from __future__ import annotations

from collections.abc import Callable


class OwnerClock:
    """Seconds during which an owner has had this storage open, over all owners so far.

    It stands still while nobody has the storage open, and so does the ttl of a message that
    is measured with it: no row has to be rewritten when time passes or a process restarts.

    ``clock``: a monotonic clock in seconds, of any origin.

    ``elapsed``: the reading that the last owner has left behind.
    """

    def __init__(self, clock: Callable[[], float], elapsed: float) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self._opened_at = clock()

    def now(self) -> float:
        """The present reading. A message's ttl is stored together with it."""
        # Added to the difference, not the difference of sums: as long as the clock stands
        # still the reading is exactly what was stored, and so is every ttl.
        return self._elapsed + (self._clock() - self._opened_at)


def ttl_left(ttl: float | None, stored_at: float, now: float) -> float | None:
    """What is left of a ttl: never negative; an expired message has 0.0 left.

    ``ttl``: what was left of it when the :class:`OwnerClock` read ``stored_at``. ``now``: its
    present reading.
    """
    if ttl is None:
        return None
    return max(0.0, ttl - max(0.0, now - stored_at))
