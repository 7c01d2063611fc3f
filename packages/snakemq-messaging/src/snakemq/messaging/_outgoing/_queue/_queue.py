"""The queue of one peer: what waits for it, and what is on its way. Pure: it is told the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator, Sequence

from snakemq.message import Message
from snakemq.queues import StoredMessage

from .._lane import OutgoingLane
from ._aside import Aside
from ._backlog import Backlog, Fate
from ._deadlines import Deadlines
from ._expiry import is_over
from ._large import LargeMessages
from ._row import Row
from ._stages import (
    ASIDE,
    CUT_OFF,
    FOUND,
    GONE,
    IN_CHUNKS,
    IN_FLIGHT,
    LARGE,
    PASSED,
    RETURNED,
    WAITING,
)
from ._taking import MAX_REMOVED, UNLIMITED, Taking

MAX_MESSAGES_IN_MEMORY = 10_000
"""The most messages of a queue. Beyond that, stored messages wait in the storage only."""

MAX_BYTES_IN_MEMORY = 4 * 1024 * 1024
"""Bytes of the messages of a queue that wait in memory."""


class OutgoingQueue:
    """First in, first out, with messages that expire anywhere in between.

    Any thread calls :meth:`append`, all else belongs to the loop. A message is *waiting* until
    :meth:`take` puts it *in flight*; :meth:`launch` does so without a wait. It stays in the queue
    until :meth:`landed` says that it needs no resending. A message that is too large for the peer
    is set *aside*, and waits for its next connection. One that goes out in chunks waits for a turn
    among the *large* ones until :meth:`is_sent_whole` puts it in flight.
    """

    __slots__ = (
        "_deadlines",
        "aside",
        "backlog",
        "has_stored",
        "ident",
        "in_flight",
        "in_flight_bytes",
        "incoming",
        "is_announced",
        "is_forgotten",
        "lane",
        "large",
        "unstored",
        "waiting",
    )

    def __init__(self, ident: str) -> None:
        self.ident = ident
        self.lane: OutgoingLane | None = None
        """For its owner: of the connection that takes from it; ``None`` while nobody is there."""
        self.is_forgotten = False
        """For its owner: has the queue been forgotten, so that nothing would look into it?"""
        self.is_announced = False
        """For the outbox: does the loop know that there is something in :attr:`incoming`?"""
        self.incoming: deque[Message] = deque()
        """What was sent, and the loop has not looked at yet."""
        self.has_stored = False
        """Was there ever a message in the storage?"""
        self.aside = Aside()
        """What is too large for the peer. While this is stalled, nothing can be taken."""
        self.backlog = Backlog()
        self.in_flight: deque[Message] = deque()
        self.in_flight_bytes = 0
        """Their sizes."""
        self.large = LargeMessages()
        """What goes out in chunks."""
        self.waiting = Row()
        """What waits in memory."""
        self.unstored = 0
        """For the posts: how many messages wait to be stored before they come into this queue."""
        self._deadlines = Deadlines()

    def append(self, message: Message) -> None:
        """Put in a message that was sent. Thread-safe."""
        if message.position is not None:
            self.has_stored = True  # before the loop can see the message
        self.incoming.append(message)

    def open_backlog(self, count: int, size: int | None) -> None:
        """See :meth:`Backlog.open_with`."""
        self.has_stored = True
        self.backlog.open_with(count, size)

    def add_found(self, message: Message) -> None:
        """Put in a message that an earlier process has left in a storage without pages."""
        self.has_stored = True
        self.waiting.append(message)
        self._wait(message, FOUND)

    def absorb(self) -> list[Message]:
        """Look at what has come in, and let it wait.

        Returns what cannot wait: messages with ttl 0 while there is no connection.
        """
        homeless: list[Message] = []
        incoming = self.incoming
        let_wait, note_deadline = self.waiting.add, self._deadlines.note
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
            let_wait(message)
            note_deadline(message)
        return homeless

    def _is_full(self) -> bool:
        return (
            self.waiting.count >= MAX_MESSAGES_IN_MEMORY
            or self.waiting.bytes >= MAX_BYTES_IN_MEMORY
        )

    def _wait(self, message: Message, stage: int = WAITING) -> None:
        self.waiting.enter(message, stage)
        self._deadlines.note(message)

    def has_more(self) -> bool:
        """Is there anything left to take?"""
        return bool(self.incoming or self.waiting.count or self.backlog.is_open)

    @property
    def is_stalled(self) -> bool:
        """Must what waits stay, until a message is sent that it must not pass, or leaves?"""
        return self.aside.is_stalled or bool(self.large.barring)

    def wants_page(self) -> bool:
        """Does the storage have more, and memory nothing to send before it?"""
        if not self.backlog.is_open:
            return False
        self.strip()
        return not self.waiting.messages

    def add_page(
        self, page: Sequence[StoredMessage], now: float, deleted: Container[bytes] = ()
    ) -> None:
        """Add the page that was asked for, see :meth:`Backlog.ask`. Call it right after
        :meth:`absorb`.

        ``deleted``: uuids of messages that were taken out of the backlog already.
        """
        for message in self.backlog.merge(page, deleted):
            self.waiting.append(message)
            if message.position is not None:  # others were counted when they came
                message.queued_at = now
                is_old = self.backlog.is_old(message.position)
                self._wait(message, FOUND if is_old else WAITING)

    def take(
        self,
        now: float,
        max_messages: int,
        max_bytes: int,
        largest: int = UNLIMITED,
        cut_from: int = UNLIMITED,
    ) -> Taking:
        """Put messages in flight, see :class:`Taking`. Those with more than ``largest`` bytes are
        set aside, and others with more than ``cut_from`` wait for a turn."""
        taking = Taking(now, max_messages, max_bytes, largest, cut_from)
        if self.waiting.count or self.has_stored:
            taking.from_row(self.waiting, self.aside, self.large)
            if not self.waiting.count and not self.aside.count and not self.large.bytes:
                self._deadlines.clear()  # nobody asks for the next one while the peer keeps up
        else:
            taking.from_incoming(self.incoming, self.aside, self.large)
            for message in taking.too_large:
                self._deadlines.note(message)
            for message in taking.large:
                self._deadlines.note(message)
        self.in_flight.extend(taking.messages)
        self.in_flight_bytes += taking.bytes
        return taking

    def launch(self, message: Message, window_messages: int, window_bytes: int) -> bool:
        """Put a message in flight that has just come. False if others come before it, or if the
        window has no room."""
        in_flight = self.in_flight
        if (
            self.waiting.count
            or self.has_stored
            or self.large.barring
            # copy of window_left(): the call would take 2 % of a chain of messages
            or (
                in_flight
                and (len(in_flight) >= window_messages or self.in_flight_bytes >= window_bytes)
            )
        ):
            return False
        in_flight.append(message)
        self.in_flight_bytes += message.queued_size
        return True

    def recall(self) -> None:
        """Take back the message that was launched last: it was not sent after all."""
        self.in_flight_bytes -= self.in_flight.pop().queued_size

    def is_sent_whole(self, message: Message) -> None:
        """Put a message in flight whose last chunk is sent."""
        self.large.leave(message, IN_FLIGHT)
        self.in_flight.append(message)
        self.in_flight_bytes += message.queued_size

    def landed(self, count: int) -> list[Message]:
        """Take out the first ``count`` messages that are in flight."""
        popleft = self.in_flight.popleft
        landed = [popleft() for _ in range(count)]
        self.in_flight_bytes -= sum([message.queued_size for message in landed])
        return landed

    def disconnected(self, now: float) -> list[Message]:
        """Let what is in flight wait again, and right behind it what was under way in chunks, and
        what was set aside.

        These keep their order and come before the others: a message may have been overtaken, but it
        never overtakes. Returns what is dropped: messages with ttl 0 and those that have expired.
        """
        self.lane = None
        dropped: list[Message] = []
        kept: deque[Message] = deque()
        for message in self.in_flight:
            if is_over(message, now):
                message.stage = GONE
                dropped.append(message)
            else:
                self._wait(message, RETURNED)
                kept.append(message)
        self.in_flight.clear()
        self.in_flight_bytes = 0
        large, self.large = self.large, LargeMessages()
        for message in large:
            if is_over(message, now):
                message.stage = GONE
                dropped.append(message)
            else:
                if message in large.barring:
                    stage = RETURNED
                else:
                    stage = CUT_OFF if message.stage == IN_CHUNKS else WAITING
                self._wait(message, stage)
                kept.append(message)
        aside, self.aside = self.aside, Aside()
        for message in aside:
            if is_over(message, now):
                message.stage = GONE
                dropped.append(message)
            else:
                self.waiting.enter(message, PASSED)
                kept.append(message)
        for message in self.waiting:
            if is_over(message, now):
                self.waiting.leave(message)
                dropped.append(message)
            else:
                kept.append(message)
        if kept:
            self.waiting.messages = kept
        else:
            self.waiting.messages.clear()
        for _, message in self.backlog.behind:
            if message.stage >= WAITING and is_over(message, now):
                self.waiting.leave(message)
                dropped.append(message)
        return dropped

    def remove(self, message: Message) -> None:
        """Take out a message that waits, wherever it does."""
        if message.stage in (LARGE, IN_CHUNKS):
            self.large.leave(message)
        else:
            (self.aside if message.stage == ASIDE else self.waiting).leave(message)

    def expire(self, now: float) -> list[Message]:
        """Take out the waiting messages whose time has come, but no more than 1,000."""
        expired: list[Message] = []
        for message in self._deadlines.pop_due(now, self._with_deadlines()):
            self.remove(message)
            expired.append(message)
            if len(expired) >= MAX_REMOVED:
                break
        self.strip()  # see oldest()
        behind = self.backlog.behind
        if len(behind) > 2 * self.waiting.count + 100:
            self.backlog.behind = deque(b for b in behind if b[1].stage >= WAITING)
        return expired

    def strip(self) -> None:
        """Forget messages that do not wait any more."""
        self.aside.strip()
        self.waiting.strip()

    def drop_oldest(self) -> Message | None:
        """Take out the message that has waited longest; ``None`` when none waits in memory."""
        large = self.large.oldest_without_turn()
        if large is not None:
            self.large.leave(large)
            return large
        self.strip()
        for row in (self.aside, self.waiting):
            if row.messages:
                message = row.messages.popleft()
                row.leave(message)
                return message
        return None

    def oldest(self) -> Message | None:
        """Return the message that was sent first. Thread-safe, and therefore approximate."""
        for messages in (
            self.in_flight,
            self.large,
            self.aside.messages,
            self.waiting.messages,
        ):
            if messages:
                try:
                    return next(iter(messages))
                except (StopIteration, RuntimeError):  # the loop changes it right now
                    continue
        return None

    def next_deadline(self) -> float | None:
        """Return when the first of the waiting messages expires; ``None`` if none does."""
        return self._deadlines.next(self._with_deadlines())

    def _with_deadlines(self) -> int:
        """Return how many messages wait in memory, for each of which there may be a deadline."""
        return self.waiting.count + self.aside.count + len(self.large)

    def __len__(self) -> int:
        """How many messages wait, in memory and in the storage."""
        count = self._with_deadlines() + self.unstored
        if self.backlog.count > 0:
            count += self.backlog.count
        return count

    def __iter__(self) -> Iterator[Message]:
        """Yield all messages in memory but the incoming ones, in their order."""
        yield from self.in_flight
        yield from self.that_wait()

    def that_wait(self) -> Iterator[Message]:
        """Yield all messages in memory that are neither in flight nor incoming, in their order."""
        yield from self.before_backlog()
        yield from self.behind_backlog()

    def before_backlog(self) -> Iterator[Message]:
        """Yield those that wait before what is in the storage only."""
        yield from self.large
        yield from self.aside
        yield from self.waiting

    def behind_backlog(self) -> Iterator[Message]:
        """Yield those that wait behind something that is in the storage only."""
        return (m for _, m in self.backlog.behind if m.stage >= WAITING)

    def __bool__(self) -> bool:
        """Is there anything in the queue?"""
        return bool(
            self.waiting.count
            or self.in_flight
            or self.backlog.is_open
            or self.incoming
            or self.aside.count
            or self.large.bytes
            or self.unstored
        )
