"""What other threads ask the loop to do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from snakemq.link import LinkInterface


class Errands:
    """Calls for the loop, in the order in which they were given. They must not raise."""

    def __init__(self, link: LinkInterface) -> None:
        self.waiting: deque[Callable[[], object]] = deque()
        """Empty nearly always, so the owner looks at it before it calls :meth:`run`."""
        self._link = link

    def give(self, errand: Callable[[], object]) -> None:
        """Have a call made at the end of a pass of the loop. Thread-safe."""
        self.waiting.append(errand)
        self._link.wakeup_poll()

    def run(self) -> None:
        """Make the calls. For the loop, and for any thread once there is no loop any more."""
        waiting = self.waiting
        for _ in range(len(waiting)):
            try:
                errand = waiting.popleft()
            except IndexError:
                return  # another thread has made it
            errand()
        if waiting:
            self._link.wakeup_poll()
