"""Large messages of one peer whose chunks have come in part. Pure."""

from __future__ import annotations

import io
from collections.abc import Iterator

from snakemq.exceptions import SnakeMQBrokenMessage, SnakeMQFlood, SnakeMQPacketTooLarge
from snakemq.packeter import SplitPacket

from .._wire._cutting import MAX_AT_ONCE, Head, Place

MAX_COMPLETE = 256
"""Complete messages whose sizes are remembered, in case the acknowledgement is lost."""

_MAX_STEP = 4 * 1024 * 1024
"""Most bytes of room that are made at a time."""


class Unfinished:
    """A message that is put together from its chunks.

    Memory follows what has arrived, whatever size the head has told: there is room for as much
    again, but for 4 MiB more at most. Each byte is copied once, to where it belongs.
    """

    __slots__ = ("_buffer", "_room", "arrived", "frame", "may_come_again", "size", "uuid")

    def __init__(self, head: Head) -> None:
        self.size = head.size
        self.arrived = 0
        self._buffer = io.BytesIO()
        self._room = 0
        self.takes_head(head)

    def takes_head(self, head: Head) -> None:
        """Take what a head says about the message; a later one says how much of the ttl is left."""
        self.uuid = head.uuid
        self.frame = head.frame
        self.may_come_again = head.may_come_again

    @property
    def missing(self) -> int:
        """Bytes that have not arrived yet."""
        return self.size - self.arrived

    def add(self, offset: int, chunk: memoryview) -> None:
        """Add the next bytes. Raises :exc:`~snakemq.exceptions.SnakeMQBrokenMessage`."""
        if offset != self.arrived or len(chunk) > self.missing:
            raise SnakeMQBrokenMessage(
                f"a chunk of {len(chunk)} bytes at {offset}, of a message of {self.size} bytes of"
                f" which {self.arrived} have arrived"
            )
        arrived = offset + len(chunk)
        if arrived > self._room:
            self._make_room(arrived)
        self._buffer.write(chunk)
        self.arrived = arrived

    def _make_room(self, arrived: int) -> None:
        self._room = min(self.size, arrived + min(arrived, _MAX_STEP))
        if self._room > arrived:
            self._buffer.seek(self._room - 1)
            self._buffer.write(b"\0")
            self._buffer.seek(self.arrived)

    def packet(self) -> SplitPacket:
        """Return the message frame. Call this once, when nothing is missing."""
        return SplitPacket(self.frame, self._buffer.getvalue())


class Assembly:
    """The unfinished messages of a peer, on its connection and left from earlier ones.

    ``window_bytes``: what the peer was told.
    """

    __slots__ = ("_complete", "_kept", "_open", "_window_bytes", "held", "received")

    def __init__(self, window_bytes: int) -> None:
        self._window_bytes = window_bytes
        self._open: dict[bytes, Unfinished] = {}
        self._kept: dict[bytes, Unfinished] = {}
        """Left from earlier connections, and not continued yet."""
        self._complete: dict[bytes, int] = {}
        """The sizes of complete messages that may come again, the latest last."""
        self.held = 0
        """Bytes that have arrived of unfinished messages."""
        self.received = 0
        """Bytes of chunks that came on this connection."""

    @property
    def missing(self) -> int:
        """Bytes that the peer is going to send, as far as it has said."""
        return sum([message.missing for message in self._open.values()])

    def head(self, head: Head, largest: int) -> Unfinished | None:
        """Begin a message, or go on with one of an earlier connection.

        ``largest``: bytes of the largest message that is taken. Returns ``None`` if all of it has
        arrived before. Raises an exception of the ``SnakeMQException`` family if the peer breaks
        the rules.
        """
        if head.size > largest:
            raise SnakeMQPacketTooLarge(
                f"a message of {head.size} bytes was announced, the limit is {largest}"
            )
        uuid = head.uuid
        if uuid in self._open:
            raise SnakeMQBrokenMessage(f"message {uuid.hex()} is begun twice")
        if head.offset == head.size:
            if self._complete.get(uuid) != head.size:
                raise _unknown(head)
            return None
        message = self._kept.pop(uuid, None)
        if head.offset:
            if message is None or (message.arrived, message.size) != (head.offset, head.size):
                raise _unknown(head)
            message.takes_head(head)
        else:
            if message is not None:
                self.held -= message.arrived
            message = Unfinished(head)
        self._open[uuid] = message
        self._check_sizes()
        return message

    def _check_sizes(self) -> None:
        sizes = [message.size for message in self._open.values()]
        if len(sizes) > MAX_AT_ONCE or sum(sizes) - max(sizes) > self._window_bytes:
            raise SnakeMQFlood(
                f"{len(sizes)} large messages at once, of {sum(sizes)} bytes; the limit is"
                f" {MAX_AT_ONCE}, and {self._window_bytes} bytes besides the largest"
            )

    def chunk(self, uuid: bytes, offset: int, chunk: memoryview) -> Unfinished:
        """Add a chunk to its message, and return that. It is not unfinished any more if nothing is
        missing.

        Raises :exc:`~snakemq.exceptions.SnakeMQBrokenMessage`.
        """
        message = self._open.get(uuid)
        if message is None:
            raise SnakeMQBrokenMessage(f"a chunk of message {uuid.hex()}, which was not begun")
        message.add(offset, chunk)
        self.received += len(chunk)
        self.held += len(chunk)
        if not message.missing:
            self._leave(message)
            if message.may_come_again:
                self._complete[uuid] = message.size
                if len(self._complete) > MAX_COMPLETE:
                    del self._complete[next(iter(self._complete))]
        return message

    def abort(self, uuid: bytes) -> None:
        """Forget a message. Raises :exc:`~snakemq.exceptions.SnakeMQBrokenMessage`."""
        message = self._open.get(uuid)
        if message is None:
            raise SnakeMQBrokenMessage(f"the end of message {uuid.hex()}, which was not begun")
        self._leave(message)

    def _leave(self, message: Unfinished) -> None:
        del self._open[message.uuid]
        self.held -= message.arrived

    def places(self) -> Iterator[tuple[Place, bool]]:
        """Yield how much has arrived of each message that the peer may send again, and whether
        that is all."""
        for uuid, size in self._complete.items():
            yield Place(uuid, size), True
        for message in self._kept.values():
            yield Place(message.uuid, message.arrived), False

    def disconnected(self) -> None:
        """Keep what the peer may continue, the latest first, as much as one connection may have."""
        self.received = 0
        messages = [*self._kept.values(), *self._open.values()]
        self._open, self._kept = {}, {}
        self.held = largest = total = 0
        kept: list[Unfinished] = []
        for message in reversed(messages):
            if not message.may_come_again or not message.arrived or len(kept) >= MAX_AT_ONCE:
                continue
            size = message.arrived
            if total + size - max(largest, size) > self._window_bytes:
                continue
            total, largest = total + size, max(largest, size)
            kept.append(message)
        self.held = total
        self._kept = {message.uuid: message for message in reversed(kept)}

    def is_empty(self) -> bool:
        """Is nothing known that the peer could continue?"""
        return not self._kept and not self._complete


def _unknown(head: Head) -> SnakeMQBrokenMessage:
    return SnakeMQBrokenMessage(
        f"message {head.uuid.hex()} of {head.size} bytes goes on at {head.offset}, where it has not"
        " ended"
    )
