"""The threads of which a network only knows when they wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from weakref import WeakSet

GRACE = 1.0
"""Real seconds in which a thread must wait for the network, if it has to do with it."""

_POOL = "snakemq-rpc-"
"""How the names of threads begin of which the servers of calls know when they work."""

_END_SOON = ("snakemq-aio", "snakemq-drain")
"""The threads that a peer of asyncio starts for something that blocks. They are always waited for,
because a task waits for each."""


class Strangers:
    """The threads that were started after the network was made, such as those of the application.

    Each counts as one that works until it waits, ends, or has not waited for :data:`GRACE`. Then it
    has nothing to do with the network, until it waits for it.
    """

    def __init__(self) -> None:
        self._ignored = WeakSet(threading.enumerate())  # their identifiers may be used again
        self._seen: dict[threading.Thread, float] = {}

    def ignore(self) -> None:
        """Ignore this thread, which only looks after others."""
        self._ignored.add(threading.current_thread())

    def went_on(self, thread: threading.Thread) -> None:
        """Note that a thread has ended a wait."""
        if thread in self._seen:
            self._seen[thread] = time.monotonic()

    def count_working(self, blocked: Collection[threading.Thread]) -> int:
        """Return how many of them may still do something now, without the ``blocked``."""
        now = time.monotonic()
        before = self._seen
        self._seen = {
            thread: before.get(thread, now)
            for thread in threading.enumerate()
            if thread not in self._ignored and not thread.name.startswith(_POOL)
        }
        return sum(
            now - since < GRACE or thread.name in _END_SOON
            for thread, since in self._seen.items()
            if thread not in blocked
        )
