"""When the waiting messages of a queue expire."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from snakemq.message import Message

from ._stages import WAITING


class Deadlines:
    """The deadlines of what waits, the earliest first.

    Most messages are taken at once. So a message is only noted, and its deadline gets into the heap
    if the message still waits when somebody asks. ``waiting``: how many messages wait then.
    """

    __slots__ = ("_counter", "_heap", "_noted")

    def __init__(self) -> None:
        self._noted: list[Message] = []
        self._heap: list[tuple[float, int, Message]] = []
        self._counter = 0

    def note(self, message: Message) -> None:
        """Note a message that waits from now on."""
        if message.ttl is not None:
            self._noted.append(message)

    def clear(self) -> None:
        """Forget all deadlines: nothing waits any more."""
        self._noted.clear()
        self._heap.clear()

    def next(self, waiting: int) -> float | None:
        """Return the earliest deadline; ``None`` when nothing that waits expires."""
        self._file(waiting)
        heap = self._heap
        while heap and heap[0][2].stage < WAITING:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float, waiting: int) -> Iterator[Message]:
        """Take out the messages whose deadline has come, one at a time."""
        self._file(waiting)
        heap = self._heap
        while heap and heap[0][0] <= now:
            message = heapq.heappop(heap)[2]
            if message.stage >= WAITING:
                yield message

    def _file(self, waiting: int) -> None:
        if not waiting:
            self.clear()
            return
        for message in self._noted:
            if message.stage >= WAITING:
                # copy of deadline_of(): the call would be 3 % of a message to an absent peer
                ttl = message.ttl
                if ttl is not None and (ttl or message.position is not None):
                    self._counter += 1
                    heapq.heappush(self._heap, (message.queued_at + ttl, self._counter, message))
        self._noted.clear()
        if len(self._heap) > 2 * waiting + 100:
            self._heap = [entry for entry in self._heap if entry[2].stage >= WAITING]
            heapq.heapify(self._heap)
