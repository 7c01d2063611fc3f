"""A peer with threads on a network in memory."""

from __future__ import annotations

import threading
from collections.abc import Collection

from snakemq.peer._handling import Handler
from snakemq.peer._iteration import Row
from snakemq.peer._options import Options
from snakemq.peer._received import Desk
from snakemq.peer._stack import Stack

from ._ground import Ground
from ._layers import MemoryLayers, count_methods
from ._row import TrackedRow


class MemoryStack(MemoryLayers, Stack):
    """The layers of a peer and its threads, in memory."""

    def __init__(self, ground: Ground, options: Options) -> None:
        super().__init__(ground, options)
        self.memory_link.wait_until_open()
        ground.watch(self.memory_link, self._count_working)

    def make_row(self, desk: Desk) -> Row:
        self._tracked = TrackedRow(desk, self.memory_link)
        return self._tracked

    def handle(self, handler: Handler) -> None:
        super().handle(handler)
        if self.handler is not None:
            # Not only when it takes its first message: somebody may wait for it before.
            self._tracked.working.add(self.handler.thread)

    def _count_working(self, blocked: Collection[threading.Thread]) -> int:
        working = self._tracked.working.difference(blocked)
        # A thread that has left its loop by an exception may not have said so.
        alive = sum(thread.is_alive() for thread in working)
        return alive + count_methods(self.calls, blocked)
