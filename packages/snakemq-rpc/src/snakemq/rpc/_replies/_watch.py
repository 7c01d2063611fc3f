"""Notices when all threads are busy with methods that do not end."""

from __future__ import annotations

import logging
from collections import Counter

from ._pool import WorkerPool

STUCK_AFTER = 5.0
"""Seconds in which no thread becomes free, while requests wait, until the log tells it."""

TELL_AGAIN_AFTER = 60.0
"""Seconds until it is told again."""

_METHODS = 5
"""How many of the running methods are named."""


class StuckWatch:
    """Writes a warning while requests wait and no thread of the pool finishes anything.

    Threads can wait for each other: each runs a method which calls back, directly or through
    other peers, and the inner calls wait for a thread here. For the loop only.
    """

    def __init__(self, pool: WorkerPool, log: logging.Logger) -> None:
        self._pool = pool
        self._log = log
        self._finished = -1
        self._since = 0.0
        self._quiet_until = float("-inf")

    def look(self, now: float, waiting: int) -> None:
        """Look whether a thread gets free. Call it now and then while ``waiting`` requests wait."""
        pool = self._pool
        if pool.finished != self._finished or not waiting or pool.threads < 1:
            self._finished, self._since = pool.finished, now
            return
        if now - self._since < STUCK_AFTER or now < self._quiet_until:
            return
        self._quiet_until = now + TELL_AGAIN_AFTER
        running = Counter(f"{job.object}.{job.method}"[:100] for job in pool.running())
        names = ", ".join(f"{name!r} ({count})" for name, count in running.most_common(_METHODS))
        self._log.warning(
            "all %d threads have been busy for %.0f s while %d requests wait; they run %s."
            " If these methods wait for calls that come back to this server, they wait for each"
            " other: use more threads, inline methods, or futures",
            *(pool.threads, now - self._since, waiting, names),
        )

    def restart(self) -> None:
        """Nothing waits, or has waited until now."""
        self._finished = -1
