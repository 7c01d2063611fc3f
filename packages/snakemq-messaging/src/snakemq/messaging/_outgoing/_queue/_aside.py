"""Messages that wait for a peer that takes larger ones. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from snakemq.message import Message

MAX_MESSAGES_ASIDE = 10_000
"""Messages that are set aside for one peer. With more of them, those behind wait too: the peer
decides what is too large, and must not decide how much of a backlog is in memory."""

MAX_BYTES_ASIDE = 64 * 1024 * 1024
"""The same in bytes of message data. One message may always be set aside, however large it is."""


class Aside:
    """First in, first out. The queue that owns it says which messages have left it meanwhile."""

    __slots__ = ("_messages", "bytes", "count")

    def __init__(self) -> None:
        self.count = 0
        """Messages that still wait here."""
        self.bytes = 0
        """Their data."""
        self._messages: deque[Message] = deque()

    def is_full(self) -> bool:
        """Must the next one wait in the queue, and hold up those behind it?"""
        return self.count >= MAX_MESSAGES_ASIDE or self.bytes >= MAX_BYTES_ASIDE

    def add(self, message: Message) -> None:
        self._messages.append(message)
        self.count += 1
        self.bytes += len(message.data)

    def left(self, message: Message) -> None:
        """A message does not wait any more; it may be anywhere in the row."""
        self.count -= 1
        self.bytes -= len(message.data)

    def forget_the_gone(self, place: int) -> None:
        """Let go of messages that are not at that place any more."""
        messages = self._messages
        while messages and messages[0].stage != place:
            messages.popleft()
        if len(messages) > 2 * self.count + 100:
            self._messages = deque(m for m in messages if m.stage == place)

    def __iter__(self) -> Iterator[Message]:
        """All that were added, in their order, including those that are gone."""
        return iter(self._messages)
