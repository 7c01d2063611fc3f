"""The part of a queue that is in the storage only.

A queue in the order of its messages::

    in flight | waiting in memory | backlog: in the storage, with transient messages in between
                                  ^
                                  cursor
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator, Sequence
from enum import Enum

from snakemq.message import Message
from snakemq.message._stack import size_of
from snakemq.queues import StoredMessage

from ._expiry import deadline_of

MAX_OPENINGS = 100
"""How many openings of a backlog are remembered. A thread that sleeps through more of them, between
storing a message and appending it to the queue, sends it twice."""

_NOTHING: deque[tuple[int | None, Message]] = deque(maxlen=0)


class Fate(Enum):
    """What becomes of a message that was sent."""

    WAITS = "waits"
    """In memory, as the last one."""
    LEFT = "left"
    """It is left to the storage, where a page will find it."""
    KNOWN = "known"
    """A page has brought it already."""
    BEHIND = "behind"
    """It is not in the storage; it waits in memory for its turn behind messages that are."""


class Backlog:
    """Positions of the storage, and the transient messages between them.

    *Order*. Threads push, and append to the queue only then; so a message can be in a page before
    the queue sees it, and two of different threads can come in the wrong order. What holds is: a
    position is above all those whose push had returned before, and a thread's messages come in
    its order. Before a page is merged, the queue must see everything that was sent until the page
    was read.

    *Time*. A page is read while the loop goes on, so what was pushed after that is left here, too,
    when the page comes. A page shows what comes first behind the cursor. An empty one shows that
    what was left before it was asked for is gone; it shows nothing of what was left since.
    """

    # There is one for each connection, and hardly ever anything in it.
    __slots__ = (
        "_asked_end",
        "_covered",
        "_end",
        "_first",
        "_newest",
        "_old",
        "_old_is_measured",
        "_start",
        "behind",
        "bytes",
        "count",
        "cursor",
        "is_open",
        "losses",
        "soonest",
    )

    def __init__(self) -> None:
        self.is_open = False
        """Is there anything in the storage that is not in memory?"""
        self.count = 0
        """How many messages are there, including those that cannot be read any more."""
        self.bytes = 0
        """Their sizes, as far as they are known."""
        self.losses = 0
        """How often :meth:`lost` was called. A page that was read before the last time may show
        messages that are gone."""
        self.soonest: float | None = None
        """Earliest deadline among the messages left in the storage since the last reset."""
        self.cursor: int | None = None
        """Everything up to this position has been in memory. ``None``: nothing was read yet."""
        self.behind: deque[tuple[int | None, Message]] = _NOTHING
        """Messages that are not in the storage, each with the position it comes after. ``None``:
        after everything that an earlier process has left."""
        self._start: int | None = None
        """Pages have covered all from above this position, of this opening, up to the cursor."""
        self._covered: list[tuple[int, int]] = []
        """What pages of earlier openings have covered. A slow thread may append it now."""
        self._end: int | None = None
        """The highest position that was left; ``None``: none since the start."""
        self._asked_end: int | None = None
        """What :attr:`_end` was when the page was asked for."""
        self._first: int | None = None
        """The lowest position that was left."""
        self._old = 0
        """How many messages of an earlier process are not read yet."""
        self._old_is_measured = True
        self._newest: int | None = None
        """The highest position that waits, or waited, in memory and not in a page."""

    def open_with(self, count: int, size: int | None) -> None:
        """Take on ``count`` messages of an earlier process; ``size``: their bytes, if known."""
        self.is_open = True
        self.behind = deque()
        self.count = self._old = count
        self.bytes = size or 0
        self._old_is_measured = size is not None

    def admit(self, message: Message, is_full: bool) -> Fate:
        """Decide where a message that was sent waits. ``is_full``: is there no room in memory?"""
        position = message.position
        if position is None:
            if not self.is_open:
                return Fate.WAITS
            self.behind.append((self._end, message))
            return Fate.BEHIND
        if position < 0:
            return Fate.WAITS  # no page will find it
        if self._is_covered(position):
            self.count += 1  # merge() has counted it down, though it had not been counted
            self.bytes += message.queued_size
            return Fate.KNOWN
        if self.cursor is not None and position <= self.cursor:
            return Fate.WAITS  # it was overtaken by the message that opened the backlog
        if self.is_open:
            self._leave(position, message)
            return Fate.LEFT
        if is_full and (self._newest is None or position > self._newest):
            if self.cursor is not None:
                self._covered.append((-1 if self._start is None else self._start, self.cursor))
                del self._covered[:-MAX_OPENINGS]
            self.is_open = True
            self.behind = deque()
            self._start = self.cursor = position - 1
            self._leave(position, message)
            return Fate.LEFT
        self._newest = position if self._newest is None else max(self._newest, position)
        return Fate.WAITS

    def _is_covered(self, position: int) -> bool:
        if self.cursor is None or position > self.cursor:
            return False
        if self._start is None or position > self._start:
            return True
        return any(start < position <= end for start, end in self._covered)

    def _leave(self, position: int, message: Message) -> None:
        self._end = position if self._end is None else max(self._end, position)
        self._first = position if self._first is None else min(self._first, position)
        self.count += 1
        self.bytes += message.queued_size
        deadline = deadline_of(message)
        if deadline is not None and (self.soonest is None or deadline < self.soonest):
            self.soonest = deadline

    def lost(self, found: Sequence[StoredMessage]) -> None:
        """Count out messages that have left the storage before it was their turn."""
        self.losses += 1
        for stored in found:
            self._count_down(stored)

    def _count_down(self, stored: StoredMessage) -> None:
        is_old = self.is_old(stored.position)
        self.count -= 1
        self._old -= is_old
        if self._old_is_measured or not is_old:
            self.bytes -= size_of(stored.message)

    def is_old(self, position: int) -> bool:
        """Has an earlier process left the message at this position?"""
        return self._first is None or position < self._first

    @property
    def end(self) -> int | None:
        """The highest position that was left; ``None``: none since the start."""
        return self._end

    def has_before(self, position: int, end: int | None) -> bool:
        """Was the message at this position there when :attr:`end` was this?"""
        return self.is_old(position) or (end is not None and position <= end)

    def is_beyond(self, position: int) -> bool:
        """Is this position behind the cursor, so that only the storage has what is there?"""
        return self.is_open and (self.cursor is None or position > self.cursor)

    def ask(self) -> None:
        """Note that the page behind :attr:`cursor` is about to be read. The cursor stays there
        until the page comes."""
        self._asked_end = self._end

    def merge(self, page: Sequence[StoredMessage], deleted: Container[bytes]) -> Iterator[Message]:
        """Yield the messages whose turn it is, now that the page has come that was asked for last.

        ``deleted``: uuids of those that :meth:`lost` was called for.

        When this closes the backlog, the count that remains is of messages that the storage did not
        have after all, less those of the page that :meth:`admit` has not seen yet.
        """
        behind = self.behind
        for stored in page:
            if not self.is_old(stored.position):
                self._old = 0  # those that did not come are gone
            yield from self._turns(stored.position)
            self.cursor = stored.position
            if stored.message.uuid not in deleted:
                self._count_down(stored)
                message = stored.message
                message.position, message.queued_size = stored.position, size_of(message)
                yield message
        cursor, end = self.cursor, self._end
        if not page:
            # Whatever was left there when it was asked for is gone.
            self._old = 0
            asked_end = self._asked_end
            if asked_end is not None:
                self.cursor = cursor = asked_end if cursor is None else max(cursor, asked_end)
        if self._old <= 0 and (end is None or (cursor is not None and cursor >= end)):
            self.is_open = False
            self.soonest = None
            while behind:
                yield behind.popleft()[1]
            self.behind = _NOTHING
        elif cursor is not None:
            yield from self._turns(cursor + 1)

    def _turns(self, position: int) -> Iterator[Message]:
        """Yield the transient messages that come before that position."""
        behind = self.behind
        while behind and (self._old <= 0 if behind[0][0] is None else behind[0][0] < position):
            yield behind.popleft()[1]
