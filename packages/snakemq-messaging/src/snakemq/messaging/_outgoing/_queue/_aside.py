"""Messages that wait for a peer that takes larger ones."""

from __future__ import annotations

from snakemq.message import Message

from ._row import Row
from ._stages import ASIDE, GONE

MAX_MESSAGES_ASIDE = 10_000
"""Messages that are set aside for one peer. With more of them, those behind wait too: the peer
decides what is too large, and must not decide how much of a backlog is in memory."""

MAX_BYTES_ASIDE = 64 * 1024 * 1024
"""Bytes of messages set aside. One message may always be set aside, however large it is."""


class Aside(Row):
    """A row with an end: when it is full, the next message holds up those behind it."""

    __slots__ = ("is_stalled",)

    def __init__(self) -> None:
        super().__init__()
        self.is_stalled = False
        """Has the last message found no room here?"""

    def put(self, message: Message) -> bool:
        """Set a message aside; False if there is no room."""
        if self.count >= MAX_MESSAGES_ASIDE or self.bytes >= MAX_BYTES_ASIDE:
            self.is_stalled = True
            return False
        self.append(message)
        self.enter(message, ASIDE)
        return True

    def leave(self, message: Message, stage: int = GONE) -> None:
        super().leave(message, stage)
        self.is_stalled = False
