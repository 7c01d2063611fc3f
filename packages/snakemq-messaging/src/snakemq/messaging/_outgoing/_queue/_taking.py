"""Taking messages out of a queue: those to be sent, and why others are not."""

from __future__ import annotations

from collections import deque

from snakemq.message import Message

from ._aside import Aside
from ._large import LargeMessages
from ._row import Row
from ._stages import GONE, IN_FLIGHT, LARGE, PASSED, RETURNED, WAITING

MAX_REMOVED = 1000
"""How many expired or too large messages are removed at once: the loop has other things to do."""

UNLIMITED = 1 << 32
"""More bytes than any message has."""


class Taking:
    """One go: the first ``max_messages`` messages, or fewer of them if they have ``max_bytes``
    together before that. The last one may go beyond that limit.

    No more than 1,000 messages are removed in one go without being taken.
    """

    __slots__ = (
        "_cut_from",
        "_largest",
        "_max_bytes",
        "_max_messages",
        "_now",
        "_watch_from",
        "bytes",
        "expired",
        "large",
        "messages",
        "resent",
        "too_large",
    )

    def __init__(
        self,
        now: float,
        max_messages: int,
        max_bytes: int,
        largest: int,
        cut_from: int = UNLIMITED,
    ) -> None:
        """``largest``: bytes of the largest message that the peer takes; ``cut_from``: of the
        largest that goes in one piece."""
        self._now = now
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._largest = largest
        self._cut_from = cut_from
        self._watch_from = min(largest, cut_from)  # one comparison for nearly all messages
        self.messages: list[Message] = []
        """What is taken."""
        self.bytes = 0
        """Their sizes."""
        self.resent = 0
        """How many of them are taken again after a broken connection."""
        self.expired: list[Message] = []
        self.too_large: list[Message] = []
        """Those with more than ``largest`` bytes that were removed for the first time: set aside,
        or dropped with a ttl of 0."""
        self.large: list[Message] = []
        """Those that wait for a turn to go out in chunks, from now on."""

    def from_incoming(self, incoming: deque[Message], aside: Aside, large: LargeMessages) -> None:
        """Take messages that have just come in, while none waits: most of them come by here."""
        now, max_bytes, watch_from = self._now, self._max_bytes, self._watch_from
        taken = self.messages
        size = 0
        removable = MAX_REMOVED
        for _ in range(min(self._max_messages, len(incoming))):
            if size >= max_bytes or not removable:
                break
            message = incoming.popleft()
            # copy of is_expired(), of a message that is not stored: see the one below
            if message.ttl and message.queued_at + message.ttl <= now:
                self.expired.append(message)
                removable -= 1
                continue
            length = message.queued_size
            if length > watch_from:
                if not self._divert(message, aside, large, WAITING):
                    incoming.appendleft(message)
                    break
                removable -= 1
                continue
            size += length
            taken.append(message)
        self.bytes = size

    def from_row(self, waiting: Row, aside: Aside, large: LargeMessages) -> None:
        """Take messages that have waited."""
        now, max_messages, max_bytes, watch_from = (
            self._now,
            self._max_messages,
            self._max_bytes,
            self._watch_from,
        )
        row = waiting.messages
        taken = self.messages
        size = 0
        removable = MAX_REMOVED
        while row and len(taken) < max_messages and size < max_bytes and removable:
            message = row.popleft()
            stage = message.stage
            if stage < WAITING:
                continue
            # copy of is_expired(): the call would cost 0.1 of the 3 µs that sending it takes
            ttl = message.ttl
            if (
                ttl is not None
                and message.queued_at + ttl <= now
                and (ttl or message.position is not None)
            ):
                waiting.leave(message)
                self.expired.append(message)
                removable -= 1
                continue
            length = message.queued_size
            if length > watch_from:
                if not self._divert(message, aside, large, stage):
                    row.appendleft(message)
                    break
                if message.stage == LARGE:
                    self.resent += stage >= RETURNED
                    if message.position is not None:
                        max_messages -= 1  # see Deletions.room(): those behind it overtake it
                waiting.leave(message, message.stage)
                removable -= 1
                if large.barring:
                    break
                continue
            message.stage = IN_FLIGHT  # counted below, all at once
            if stage >= RETURNED:
                self.resent += 1
            size += length
            taken.append(message)
        waiting.count -= len(taken)
        waiting.bytes -= size
        self.bytes = size

    def _divert(self, message: Message, aside: Aside, large: LargeMessages, stage: int) -> bool:
        """Set a message aside, or let it wait for a turn. False if it has to wait where it was,
        and those behind it too."""
        if message.queued_size > self._largest:
            return self._set_aside(message, aside, is_known=stage == PASSED)
        if not large.put(message, stage):
            return False
        self.large.append(message)
        return True

    def _set_aside(self, message: Message, aside: Aside, *, is_known: bool) -> bool:
        if message.ttl == 0:
            message.stage = GONE
        elif not aside.put(message):
            return False
        if not is_known:
            self.too_large.append(message)
        return True
