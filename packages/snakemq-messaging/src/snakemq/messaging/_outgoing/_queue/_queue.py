"""The queue of one peer: what waits for it, and what is on its way. Pure: it is told the time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Container, Iterator, Sequence

from snakemq.message import Message
from snakemq.queues import StoredMessage

from .._lane import OutgoingLane
from ._aside import Aside
from ._backlog import Backlog, Fate

MAX_MESSAGES_IN_MEMORY = 10_000
"""The most messages of a queue; what is sent beyond waits in the storage only, if it is stored."""

MAX_BYTES_IN_MEMORY = 4 * 1024 * 1024
"""The most bytes of message data, likewise."""

MAX_REMOVED = 1000
"""Messages that are taken out of a queue in one go without being sent, because they have expired or
are too large. The loop has other things to do."""

UNLIMITED = 1 << 32
"""No message is longer, in bytes."""

# Where a message of a queue is. Numbers, because they are compared for each message.
GONE = 0
IN_FLIGHT = 1
WAITING = 2
RETURNED = 3
"""It waits again: it was in flight on a connection that broke."""
ASIDE = 4
"""It waits for a connection to a peer that takes messages of its size."""
PASSED = 5
"""It waits again: it was set aside, and the peer has gone since."""


def deadline_of(message: Message) -> float | None:
    """When a message expires that is in a queue. ``None``: never, or with the connection."""
    ttl = message.ttl
    if ttl is None:
        return None
    if ttl == 0 and message.position is None:
        return None
    return message.queued_at + ttl  # a stored one with a ttl of 0 has expired in the storage


class OutgoingQueue:
    """First in, first out, with messages that expire anywhere in between.

    Any thread appends to :attr:`incoming`, all else belongs to the loop. A message is *waiting*
    until :meth:`take` puts it *in flight*, and stays in the queue until :meth:`landed` says that it
    needs no resending. Those that are too large for the peer are set *aside*, and wait for its next
    connection.
    """

    __slots__ = (
        "_aside",
        "_counter",
        "_deadlines",
        "_fresh",
        "_waiting",
        "_waiting_count",
        "backlog",
        "has_stored",
        "ident",
        "in_flight",
        "in_flight_bytes",
        "incoming",
        "is_announced",
        "is_forgotten",
        "is_stalled",
        "lane",
        "resent",
        "waiting_bytes",
    )

    def __init__(self, ident: str) -> None:
        self.ident = ident
        self.lane: OutgoingLane | None = None
        """For its owner: of the connection that takes from it; ``None`` while nobody is there."""
        self.is_forgotten = False
        """For its owner: is it nobody's queue any more?"""
        self.is_announced = False
        """For its owner: does the loop know that there is something in :attr:`incoming`?"""
        self.incoming: deque[Message] = deque()
        """What was sent and not looked at yet."""
        self.has_stored = False
        """Was there ever a message in the storage? To be set before it is appended."""
        self.is_stalled = False
        """Is the next message too large, as many others are? Then nothing can be taken."""
        self.backlog = Backlog()
        self.in_flight: deque[Message] = deque()
        self.in_flight_bytes = 0
        """The sum of the data of the messages in flight."""
        self.waiting_bytes = 0
        """The same of those that wait in memory."""
        self.resent = 0
        """How many messages were taken once more, after a connection that broke."""
        self._aside: Aside | None = None  # hardly ever needed, and there is a queue for each peer
        self._waiting: deque[Message] = deque()
        self._waiting_count = 0  # without the expired ones that are still in a deque
        # Deadlines. Most messages are taken at once, so a deadline goes through _fresh, and to
        # the heap only if its message is found waiting by next_deadline().
        self._fresh: list[Message] = []
        self._deadlines: list[tuple[float, int, Message]] = []
        self._counter = 0

    def absorb(self) -> list[Message]:
        """Look at what has come in, and let it wait.

        Returns what cannot: messages with ttl 0 when there is no connection.
        """
        homeless: list[Message] = []
        incoming = self.incoming
        for _ in range(len(incoming)):  # no more, or a busy thread could keep the loop here
            message = incoming.popleft()
            if message.ttl == 0 and self.lane is None and message.position is None:
                homeless.append(message)
                continue
            if self.has_stored:
                fate = self.backlog.admit(message, self._is_full())
                if fate is not Fate.WAITS:
                    if fate is Fate.BEHIND:
                        self._wait(message)
                    continue
            self._waiting.append(message)
            self._wait(message)
        return homeless

    def _is_full(self) -> bool:
        return (
            self._waiting_count >= MAX_MESSAGES_IN_MEMORY
            or self.waiting_bytes >= MAX_BYTES_IN_MEMORY
        )

    def _wait(self, message: Message) -> None:
        message.stage = WAITING
        self._waiting_count += 1
        self.waiting_bytes += len(message.data)
        if message.ttl is not None:
            self._fresh.append(message)

    @property
    def aside_count(self) -> int:
        """How many messages are set aside."""
        return 0 if self._aside is None else self._aside.count

    @property
    def aside_bytes(self) -> int:
        """The data of these messages."""
        return 0 if self._aside is None else self._aside.bytes

    def has_more(self) -> bool:
        """Is there anything that was not taken, and not set aside?"""
        return bool(self.incoming or self._waiting_count or self.backlog.is_open)

    @property
    def waiting_count(self) -> int:
        """How many messages wait in memory."""
        return self._waiting_count

    def is_waiting(self) -> bool:
        """Does anything wait that was looked at, or is there anything in the storage?"""
        return bool(self._waiting_count) or self.has_stored

    def wants_page(self) -> bool:
        """Is there more in the storage, and nothing else to be sent before it?"""
        if not self.backlog.is_open:
            return False
        self._strip()
        return not self._waiting

    def add_page(
        self, page: Sequence[StoredMessage], now: float, deleted: Container[bytes] = ()
    ) -> None:
        """The page behind the backlog's cursor, right after :meth:`absorb`.

        ``deleted``: uuids of messages that were taken out of the backlog already.
        """
        for message in self.backlog.merge(page, deleted):
            if message.position is None:
                self._waiting.append(message)  # it was counted when it came
            else:
                message.queued_at = now
                self._waiting.append(message)
                self._wait(message)

    def take(
        self,
        now: float,
        max_messages: int,
        max_bytes: int,
        expired: list[Message],
        largest: int = UNLIMITED,
        too_large: list[Message] | None = None,
    ) -> list[Message]:
        """Put messages in flight: the first ``max_messages`` that wait, or fewer of them if they
        have ``max_bytes`` together before that. The last one may go beyond that limit.

        Messages whose time has come are appended to ``expired`` instead. Those with more than
        ``largest`` bytes are set aside, or dropped with a ttl of 0; they are appended to
        ``too_large`` when this happens to them for the first time. No more than 1,000 messages are
        taken out in these ways.
        """
        reports = [] if too_large is None else too_large
        if self._waiting_count or self.has_stored:
            return self._take_waiting(now, max_messages, max_bytes, expired, largest, reports)
        # The way of most messages: nobody waits, so they need not wait either.
        incoming = self.incoming
        taken: list[Message] = []
        size = 0
        removable = MAX_REMOVED
        for _ in range(min(max_messages, len(incoming))):
            if size >= max_bytes or not removable:
                break
            message = incoming.popleft()
            if message.ttl and message.queued_at + message.ttl <= now:
                expired.append(message)
                removable -= 1
                continue
            length = len(message.data)
            if length > largest:
                if not self._set_aside(message, reports):
                    incoming.appendleft(message)
                    break
                if message.ttl:
                    self._fresh.append(message)
                removable -= 1
                continue
            size += length
            taken.append(message)
        self.in_flight.extend(taken)
        self.in_flight_bytes += size
        return taken

    def _take_waiting(
        self,
        now: float,
        max_messages: int,
        max_bytes: int,
        expired: list[Message],
        largest: int,
        too_large: list[Message],
    ) -> list[Message]:
        waiting = self._waiting
        taken: list[Message] = []
        taken_bytes = 0
        removable = MAX_REMOVED
        while waiting and len(taken) < max_messages and taken_bytes < max_bytes and removable:
            message = waiting.popleft()
            place = message.stage
            if place < WAITING:
                continue
            length = len(message.data)
            ttl = message.ttl
            if (
                ttl is not None
                and message.queued_at + ttl <= now
                and (ttl or message.position is not None)
            ):
                self._gone(message)
                expired.append(message)
                removable -= 1
                continue
            if length > largest:
                if not self._set_aside(message, [] if place == PASSED else too_large):
                    waiting.appendleft(message)
                    break
                self._waiting_count -= 1
                self.waiting_bytes -= length
                removable -= 1
                continue
            self._waiting_count -= 1
            if place == RETURNED:
                self.resent += 1
            message.stage = IN_FLIGHT
            taken_bytes += length
            taken.append(message)
        self.in_flight.extend(taken)
        self.in_flight_bytes += taken_bytes
        self.waiting_bytes -= taken_bytes
        return taken

    def _set_aside(self, message: Message, reports: list[Message]) -> bool:
        """False if that cannot be: it has to wait where it was, and those behind it as well."""
        if message.ttl == 0:
            message.stage = GONE
        else:
            if self._aside is None:
                self._aside = Aside()
            if self._aside.is_full():
                self.is_stalled = True
                return False
            message.stage = ASIDE
            self._aside.add(message)
        reports.append(message)
        return True

    def landed(self, count: int) -> list[Message]:
        """Take out the first ``count`` messages that are in flight."""
        popleft = self.in_flight.popleft
        landed = [popleft() for _ in range(count)]
        self.in_flight_bytes -= sum([len(message.data) for message in landed])
        return landed

    def disconnected(self, now: float) -> list[Message]:
        """What is in flight waits again, in its old order before the others, and what was set aside
        right behind it: a message may have been overtaken, but it never overtakes.

        Returns what is dropped: messages with ttl 0 and those in flight whose time has come.
        """
        self.lane = None
        dropped: list[Message] = []
        kept: deque[Message] = deque()
        for message in self.in_flight:
            if _is_over(message, now):
                message.stage = GONE
                dropped.append(message)
                continue
            message.stage = RETURNED
            self._waiting_count += 1
            self.waiting_bytes += len(message.data)
            if message.ttl is not None:
                self._fresh.append(message)
            kept.append(message)
        self.in_flight.clear()
        self.in_flight_bytes = 0
        self._return_aside()
        for message in self._waiting:
            if message.stage < WAITING:
                continue
            if not self._dropped_with_connection(message, now, dropped):
                kept.append(message)
        self._waiting = kept
        for _, message in self.backlog.behind:
            if message.stage >= WAITING:
                self._dropped_with_connection(message, now, dropped)
        return dropped

    def _return_aside(self) -> None:
        aside, self._aside = self._aside, None
        self.is_stalled = False
        if aside is None:
            return
        self._waiting_count += aside.count
        self.waiting_bytes += aside.bytes
        messages = [message for message in aside if message.stage == ASIDE]
        for message in messages:
            message.stage = PASSED
        self._waiting.extendleft(reversed(messages))

    def _dropped_with_connection(
        self, message: Message, now: float, dropped: list[Message]
    ) -> bool:
        if not _is_over(message, now):
            return False
        self._gone(message)
        dropped.append(message)
        return True

    def _gone(self, message: Message) -> None:
        if message.stage == ASIDE and self._aside is not None:
            self._aside.left(message)
            self.is_stalled = False
        else:
            self._waiting_count -= 1
            self.waiting_bytes -= len(message.data)
        message.stage = GONE

    def expire(self, now: float) -> list[Message]:
        """Take out the waiting messages whose time has come, but no more than 1,000."""
        expired: list[Message] = []
        self._file_deadlines()
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now and len(expired) < MAX_REMOVED:
            message = heapq.heappop(deadlines)[2]
            if message.stage >= WAITING:
                self._gone(message)
                expired.append(message)
        self._strip()  # see oldest()
        limit = 2 * self._waiting_count + 100
        if len(self._waiting) > limit:
            self._waiting = deque(m for m in self._waiting if m.stage >= WAITING)
        if len(self.backlog.behind) > limit:
            self.backlog.behind = deque(b for b in self.backlog.behind if b[1].stage >= WAITING)
        return expired

    def _strip(self) -> None:
        if self._aside is not None:
            self._aside.forget_the_gone(ASIDE)
        waiting = self._waiting
        while waiting and waiting[0].stage < WAITING:
            waiting.popleft()

    def drop_oldest(self) -> Message | None:
        """Take out the message that has waited longest; ``None`` when none waits in memory."""
        for message in self._aside or ():
            if message.stage == ASIDE:
                self._gone(message)
                self._strip()
                return message
        while self._waiting:
            message = self._waiting.popleft()
            if message.stage >= WAITING:
                self._gone(message)
                return message
        return None

    def oldest(self) -> Message | None:
        """The message that was sent first, waiting or in flight. Thread-safe, so approximate."""
        for messages in (self.in_flight, self._aside, self._waiting):
            if messages:
                try:
                    return next(iter(messages))
                except (StopIteration, RuntimeError):  # the loop changes it right now
                    continue
        return None

    def next_deadline(self) -> float | None:
        """When the first of the waiting messages expires; ``None`` when none does."""
        self._file_deadlines()
        deadlines = self._deadlines
        while deadlines and deadlines[0][2].stage < WAITING:
            heapq.heappop(deadlines)
        return deadlines[0][0] if deadlines else None

    def _file_deadlines(self) -> None:
        waiting = self._waiting_count + self.aside_count
        if not waiting:
            self._fresh.clear()
            self._deadlines.clear()
            return
        for message in self._fresh:
            if message.stage >= WAITING:
                deadline = deadline_of(message)
                if deadline is not None:
                    self._counter += 1
                    heapq.heappush(self._deadlines, (deadline, self._counter, message))
        self._fresh.clear()
        if len(self._deadlines) > 2 * waiting + 100:
            self._deadlines = [d for d in self._deadlines if d[2].stage >= WAITING]
            heapq.heapify(self._deadlines)

    def __len__(self) -> int:
        """How many messages wait, in memory and in the storage."""
        count = self._waiting_count
        if self._aside is not None:
            count += self._aside.count
        if self.backlog.count > 0:
            count += self.backlog.count
        return count

    def __iter__(self) -> Iterator[Message]:
        """All messages in memory but the incoming ones, in their order."""
        yield from self.in_flight
        yield from (message for message in self._aside or () if message.stage == ASIDE)
        yield from (message for message in self._waiting if message.stage >= WAITING)
        yield from (m for _, m in self.backlog.behind if m.stage >= WAITING)

    def __bool__(self) -> bool:
        """Is there anything in it?"""
        return bool(
            self._waiting_count
            or self.in_flight
            or self.backlog.is_open
            or self.incoming
            or self.aside_count
        )


def _is_over(message: Message, now: float) -> bool:
    """Has its time come, now that there is no connection?"""
    return message.ttl is not None and (message.ttl == 0 or message.queued_at + message.ttl <= now)
