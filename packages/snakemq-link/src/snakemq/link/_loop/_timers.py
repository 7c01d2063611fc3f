"""A heap of timers. Pure: its callers say what time it is."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

NEVER = float("inf")


class Timer:
    """One planned call. See :class:`~snakemq.link.TimerHandle`."""

    __slots__ = ("func", "heap", "when")

    def __init__(self, when: float, func: Callable[[], object], heap: TimerHeap) -> None:
        self.when: float = when
        self.func: Callable[[], object] | None = func
        self.heap: TimerHeap | None = heap  # None: taken out, because it is due

    def cancel(self) -> None:
        if self.func is not None:
            self.func = None
            if self.heap is not None:
                self.heap.forget_one()


class TimerHeap:
    """Holds timers in the order of their time; those of the same time as they were added."""

    def __init__(self) -> None:
        self.soonest: float = NEVER
        """A time before which nothing is due: that of the first timer, even if it was cancelled
        since. Each pass of a loop looks at it."""
        self._heap: list[tuple[float, int, Timer]] = []
        self._counter = 0
        self._cancelled = 0

    def add(self, when: float, func: Callable[[], object]) -> Timer:
        timer = Timer(when, func, self)
        self._counter += 1
        heapq.heappush(self._heap, (when, self._counter, timer))
        if when < self.soonest:
            self.soonest = when
        return timer

    def next_time(self) -> float | None:
        """Return when the next timer is due; ``None`` when there is none."""
        heap = self._heap
        while heap and heap[0][2].func is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        self.soonest = heap[0][0] if heap else NEVER
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> Iterator[Callable[[], object]]:
        """Take out and yield the functions that are due at ``now``.

        A timer that is added meanwhile waits for the next call, even if it is due at once:
        a timer that plans itself again without delay must not keep the loop from its sockets.
        """
        heap = self._heap
        due: list[tuple[float, int, Timer]] = []
        while heap and heap[0][0] <= now:
            entry = heapq.heappop(heap)
            if entry[2].func is None:
                self._cancelled -= 1
            else:
                entry[2].heap = None
                due.append(entry)
        self.soonest = heap[0][0] if heap else NEVER
        due.reverse()
        try:
            while due:
                timer = due.pop()[2]
                func, timer.func = timer.func, None
                if func is not None:  # not cancelled by one before it
                    yield func
        finally:
            # Ctrl-C in one of them: the next call yields the others.
            for entry in due:
                entry[2].heap = self
                heapq.heappush(heap, entry)
                self.soonest = heap[0][0]
                if entry[2].func is None:
                    self._cancelled += 1

    def forget_one(self) -> None:
        """Count a timer of this heap that was cancelled.

        Most are, long before they are due, because they are deadlines that were kept. They are
        swept out when they make up more than half of the heap.
        """
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            # in place: pop_due() may hold this very list
            self._heap[:] = [entry for entry in self._heap if entry[2].func is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0
            self.soonest = self._heap[0][0] if self._heap else NEVER

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled
