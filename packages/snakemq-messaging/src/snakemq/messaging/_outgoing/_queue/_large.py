"""Large messages of a queue whose turn has come: they go out in chunks."""

from __future__ import annotations

from collections.abc import Iterator

from snakemq.message import Message

from ._stages import FOUND, GONE, IN_CHUNKS, LARGE, RETURNED

MAX_STORED_BYTES = 64 * 1024 * 1024
"""Bytes of message data that come out of the storage ahead of their turn. One message may always
come, however large it is."""


class LargeMessages:
    """Messages that others may overtake: those that wait for a turn, and those that have one.

    A message with a turn is under way, some chunks at a time. It is in flight when its last chunk
    is sent, and so takes its place in the order only then.

    A message that may have arrived before is not overtaken. The receiver recognises it only among
    the latest two windows of messages, and any number may pass while it is under way.
    """

    __slots__ = ("_messages", "_stored_bytes", "barring", "bytes", "stored")

    def __init__(self) -> None:
        self._messages: dict[Message, None] = {}  # in their order
        self.bytes = 0
        """Their sizes."""
        self.barring: set[Message] = set()
        """Those that may have arrived before. While there is one, nothing else is taken."""
        self.stored = 0
        """How many of them are in the storage."""
        self._stored_bytes = 0

    def put(self, message: Message, stage: int) -> bool:
        """Let a message wait for a turn, after it has waited in that stage. False if there is no
        room.

        Only stored messages need room: the others are in memory anyway.
        """
        if message.position is not None:
            if self._stored_bytes >= MAX_STORED_BYTES:
                return False
            self._stored_bytes += message.queued_size
            self.stored += 1
        if stage in (FOUND, RETURNED):
            self.barring.add(message)
        message.stage = LARGE
        self._messages[message] = None
        self.bytes += message.queued_size
        return True

    def begin(self, message: Message) -> None:
        """Give a message its turn."""
        message.stage = IN_CHUNKS

    def leave(self, message: Message, stage: int = GONE) -> None:
        """Take out a message."""
        message.stage = stage
        del self._messages[message]
        self.barring.discard(message)
        self.bytes -= message.queued_size
        if message.position is not None:
            self._stored_bytes -= message.queued_size
            self.stored -= 1

    def oldest_without_turn(self) -> Message | None:
        """Return the message that has waited longest for a turn; ``None`` if none does."""
        return next((message for message in self._messages if message.stage == LARGE), None)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)
