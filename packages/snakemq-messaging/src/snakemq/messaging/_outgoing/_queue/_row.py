"""Messages that wait, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from snakemq.message import Message

from ._stages import GONE, WAITING

_NOTHING: deque[Message] = deque(maxlen=0)
"""An empty deque has 0.6 KiB, and there are rows for each connection, hardly ever with anything in
them."""


class Row:
    """First in, first out. A message that leaves from the middle stays in the deque for a while.

    The counts are of all messages that wait, also of those that stand elsewhere, behind the backlog
    of the queue.
    """

    __slots__ = ("bytes", "count", "messages")

    def __init__(self) -> None:
        self.messages = _NOTHING
        """Those that wait, with gone ones in between."""
        self.count = 0
        """How many messages wait."""
        self.bytes = 0
        """Their sizes."""

    def append(self, message: Message) -> None:
        """Put a message at the end. It is counted by :meth:`enter`."""
        if self.messages is _NOTHING:
            self.messages = deque()
        self.messages.append(message)

    def add(self, message: Message) -> None:
        """Let a new message wait at the end."""
        # copy of append() and enter(), whose calls would take 5 % of sending to an absent peer
        if self.messages is _NOTHING:
            self.messages = deque()
        self.messages.append(message)
        message.stage = WAITING
        self.count += 1
        self.bytes += message.queued_size

    def enter(self, message: Message, stage: int) -> None:
        """Count a message that waits from now on."""
        message.stage = stage
        self.count += 1
        self.bytes += message.queued_size

    def leave(self, message: Message, stage: int = GONE) -> None:
        """Count a message that does not wait here any more."""
        message.stage = stage
        self.count -= 1
        self.bytes -= message.queued_size

    def strip(self) -> None:
        """Drop the gone messages at the front, or all of them once they are the majority."""
        messages = self.messages
        while messages and messages[0].stage < WAITING:
            messages.popleft()
        if len(messages) > 2 * self.count + 100:
            self.messages = deque(self)

    def __iter__(self) -> Iterator[Message]:
        """Yield those that wait."""
        return (message for message in self.messages if message.stage >= WAITING)
