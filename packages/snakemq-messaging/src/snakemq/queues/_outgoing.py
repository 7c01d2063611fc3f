"""The queue of one peer: what waits for it, and what is on its way. Pure: it is told the time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum

from snakemq.message import Message


class Place(Enum):
    """Where a message of a queue is."""

    WAITING = "waiting"
    IN_FLIGHT = "in flight"
    GONE = "gone"


class QueuedMessage:
    """A message and what its queue knows of it."""

    __module__ = "snakemq.queues"

    __slots__ = ("deadline", "message", "place", "queued_at", "sent_before", "stored")

    def __init__(self, message: Message, queued_at: float, stored: bool) -> None:
        self.message = message
        self.queued_at = queued_at
        self.stored = stored
        """Is it in the storage, to be deleted when it has left the queue?"""
        self.deadline = queued_at + message.ttl if message.ttl else None
        """When it expires. None: never, or with the connection (ttl 0)."""
        self.place = Place.WAITING
        self.sent_before = False
        """Was it in flight on a connection that broke?"""

    def is_over(self, now: float) -> bool:
        """Has its time come, now that there is no connection?"""
        return self.message.ttl == 0 or (self.deadline is not None and self.deadline <= now)

    def whole_seconds_left(self, now: float) -> int | None:
        """What is left of the ttl, for the wire. Time waited counts in whole seconds as well, so
        that a message that did not wait arrives with the ttl it was sent with."""
        ttl = self.message.ttl
        if ttl is None:
            return None
        return max(0, int(ttl - int(now - self.queued_at)))


class OutgoingQueue:
    """First in, first out, with messages that expire anywhere in between.

    A message is *waiting* until :meth:`take` puts it *in flight*, and stays in the queue until
    :meth:`landed` says that it needs no resending.
    """

    __module__ = "snakemq.queues"

    def __init__(self, ident: str) -> None:
        self.ident = ident
        self.is_connected = False
        """For its owner: is there a connection that takes from it?"""
        self.in_flight: deque[QueuedMessage] = deque()
        self.in_flight_bytes = 0
        """The sum of the data of the messages in flight."""
        self.waiting_bytes = 0
        """The same of those that wait."""
        self._waiting: deque[QueuedMessage] = deque()
        self._waiting_count = 0  # without the expired ones that are still in the deque
        # Deadlines. Most messages are taken at once, so a deadline goes through _fresh, and to
        # the heap only if its message is found waiting by next_deadline().
        self._fresh: list[QueuedMessage] = []
        self._deadlines: list[tuple[float, int, QueuedMessage]] = []
        self._counter = 0

    def push(self, entry: QueuedMessage) -> None:
        """Append a message."""
        self._waiting.append(entry)
        self._waiting_count += 1
        self.waiting_bytes += len(entry.message.data)
        if entry.deadline is not None:
            self._fresh.append(entry)

    def take(
        self, now: float, max_messages: int, max_bytes: int, expired: list[QueuedMessage]
    ) -> list[QueuedMessage]:
        """Put messages in flight: the first ``max_messages`` that wait, or fewer of them if they
        have ``max_bytes`` together before that. The last one may go beyond that limit.

        Messages whose time has come are appended to ``expired`` instead.
        """
        waiting = self._waiting
        taken: list[QueuedMessage] = []
        taken_bytes = 0
        while waiting and len(taken) < max_messages and taken_bytes < max_bytes:
            entry = waiting.popleft()
            if entry.place is not Place.WAITING:
                continue
            self._waiting_count -= 1
            if entry.deadline is not None and entry.deadline <= now:
                entry.place = Place.GONE
                self.waiting_bytes -= len(entry.message.data)
                expired.append(entry)
                continue
            entry.place = Place.IN_FLIGHT
            taken_bytes += len(entry.message.data)
            taken.append(entry)
        self.in_flight.extend(taken)
        self.in_flight_bytes += taken_bytes
        self.waiting_bytes -= taken_bytes
        return taken

    def landed(self, count: int) -> list[QueuedMessage]:
        """Take out the first ``count`` messages that are in flight."""
        landed = [self.in_flight.popleft() for _ in range(count)]
        for entry in landed:
            entry.place = Place.GONE
            self.in_flight_bytes -= len(entry.message.data)
        return landed

    def withdraw(self, entries: Iterable[QueuedMessage]) -> None:
        """Take out messages that were just put in flight: they cannot be sent after all."""
        for entry in entries:
            entry.place = Place.GONE
            self.in_flight_bytes -= len(entry.message.data)
        self.in_flight = deque(e for e in self.in_flight if e.place is Place.IN_FLIGHT)

    def disconnected(self, now: float) -> list[QueuedMessage]:
        """What is in flight waits again, in its old order before the others.

        Returns what is dropped: messages with ttl 0 and those in flight whose time has come.
        """
        self.is_connected = False
        dropped: list[QueuedMessage] = []
        kept: deque[QueuedMessage] = deque()
        for entry in (*self.in_flight, *self._waiting):
            if entry.place is Place.GONE:
                continue
            if entry.is_over(now):
                entry.place = Place.GONE
                dropped.append(entry)
                continue
            if entry.place is Place.IN_FLIGHT:
                entry.place = Place.WAITING
                entry.sent_before = True
                if entry.deadline is not None:
                    self._fresh.append(entry)
            kept.append(entry)
        self.in_flight.clear()
        self.in_flight_bytes = 0
        self._waiting = kept
        self._waiting_count = len(kept)
        self.waiting_bytes = sum(len(entry.message.data) for entry in kept)
        return dropped

    def expire(self, now: float) -> list[QueuedMessage]:
        """Take out the waiting messages whose time has come."""
        expired: list[QueuedMessage] = []
        self._file_deadlines()
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            entry = heapq.heappop(deadlines)[2]
            if entry.place is Place.WAITING:
                entry.place = Place.GONE
                self.waiting_bytes -= len(entry.message.data)
                expired.append(entry)
        self._waiting_count -= len(expired)
        while self._waiting and self._waiting[0].place is not Place.WAITING:
            self._waiting.popleft()  # see oldest()
        if len(self._waiting) > 2 * self._waiting_count + 100:
            self._waiting = deque(e for e in self._waiting if e.place is Place.WAITING)
        return expired

    def drop_oldest(self) -> QueuedMessage | None:
        """Take out the message that has waited longest; ``None`` when none waits."""
        while self._waiting:
            entry = self._waiting.popleft()
            if entry.place is Place.WAITING:
                entry.place = Place.GONE
                self._waiting_count -= 1
                self.waiting_bytes -= len(entry.message.data)
                return entry
        return None

    def oldest(self) -> QueuedMessage | None:
        """The message that was sent first, waiting or in flight. Thread-safe, so approximate."""
        for entries in (self.in_flight, self._waiting):
            try:
                return entries[0]
            except IndexError:
                continue
        return None

    def next_deadline(self) -> float | None:
        """When the first of the waiting messages expires; ``None`` when none does."""
        self._file_deadlines()
        deadlines = self._deadlines
        while deadlines and deadlines[0][2].place is not Place.WAITING:
            heapq.heappop(deadlines)
        return deadlines[0][0] if deadlines else None

    def _file_deadlines(self) -> None:
        if not self._waiting_count:
            self._fresh.clear()
            self._deadlines.clear()
            return
        for entry in self._fresh:
            if entry.place is Place.WAITING:
                assert entry.deadline is not None
                self._counter += 1
                heapq.heappush(self._deadlines, (entry.deadline, self._counter, entry))
        self._fresh.clear()
        if len(self._deadlines) > 2 * self._waiting_count + 100:
            # those of messages that were taken long before their time
            self._deadlines = [d for d in self._deadlines if d[2].place is Place.WAITING]
            heapq.heapify(self._deadlines)

    def __len__(self) -> int:
        """How many messages wait."""
        return self._waiting_count

    def __iter__(self) -> Iterator[QueuedMessage]:
        """All messages, in their order."""
        yield from self.in_flight
        yield from (entry for entry in self._waiting if entry.place is Place.WAITING)

    def __bool__(self) -> bool:
        return bool(self._waiting_count or self.in_flight)
