"""The large messages that are on their way in chunks on one connection. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.message import Message

from .._wire._cutting import MAX_AT_ONCE
from ._pace import Pace

LOOK_AHEAD = 16
"""How many messages without a turn are looked at to find one that fits."""


class Turn:
    """How far a message has come."""

    __slots__ = ("_headers", "is_begun", "message", "offset", "size")

    def __init__(self, message: Message, headers: bytes) -> None:
        """``headers``: what goes before the data."""
        self.message = message
        self.size = len(headers) + len(message.data)
        """Bytes that make up the message."""
        self.offset = 0
        """How many of them have been sent, or need not be."""
        self.is_begun = False
        """Is its head sent?"""
        self._headers = headers

    @property
    def left(self) -> int:
        """Bytes that are still to be sent."""
        return self.size - self.offset

    def parts(self, size: int) -> list[bytes | memoryview]:
        """Return the next ``size`` bytes, or fewer, in a part or two."""
        begin = self.offset - len(self._headers)
        end = begin + size
        data = memoryview(self.message.data)[max(0, begin) : max(0, end)]
        return [data] if begin >= 0 else [self._headers[begin:][:size], data]


class Turns:
    """Which message sends its next chunk, and what of the chunks has arrived.

    The messages take turns, a chunk each. Those that are under way have at most a window of bytes
    together, besides the largest of them, so that the peer knows how much memory they need.
    """

    __slots__ = ("_line", "_on_the_way", "arrived", "pace", "places", "sent", "window_bytes")

    def __init__(self, window_bytes: int, places: dict[bytes, int], max_chunk: int) -> None:
        self.window_bytes = window_bytes
        self.places = places
        """How many bytes the peer has of messages that were under way before, by uuid."""
        self.pace = Pace(max_chunk)
        self.sent = 0
        """Bytes of chunks on this connection."""
        self.arrived = 0
        """How many of them the peer is known to have."""
        self._line: deque[Turn] = deque()  # the next one first
        # Where each chunk that may not have arrived ends: in all chunks, and in its message.
        self._on_the_way: deque[tuple[int, Turn, int, float]] = deque()

    @property
    def may_send(self) -> bool:
        """Are few enough bytes on their way?"""
        return self.sent - self.arrived < self.pace.window

    def find(self, waiting: Iterable[Message]) -> Message | None:
        """Return the first message that can have a turn; ``None`` if there is none."""
        if len(self._line) < MAX_AT_ONCE:
            for message in islice(waiting, LOOK_AHEAD):
                if self._has_room(message):
                    return message
        return None

    def _has_room(self, message: Message) -> bool:
        sizes = [message.queued_size, *(turn.size for turn in self._line)]
        if sum(sizes) - max(sizes) > self.window_bytes:
            return False
        # A user may send one message twice, and its chunks must not get mixed up.
        return all(turn.message.uuid != message.uuid for turn in self._line)

    def begin(self, message: Message, headers: bytes) -> None:
        """Give a message turns. ``headers``: what goes before its data."""
        turn = Turn(message, headers)
        place = self.places.pop(message.uuid, 0)
        if place <= turn.size:
            turn.offset = place
        self._line.append(turn)

    def __len__(self) -> int:
        return len(self._line)

    def offsets(self) -> dict[bytes, int]:
        """Return how many bytes of each message have been sent, or need not be, by uuid."""
        return {turn.message.uuid: turn.offset for turn in self._line}

    def next(self) -> Turn:
        """Return the message whose turn it is, and let the others come before its next turn."""
        turn = self._line[0]
        self._line.rotate(-1)
        return turn

    def leave(self, turn: Turn) -> None:
        """End the turns of a message: nothing more of it is sent."""
        self._line.remove(turn)

    def chunk_sent(self, turn: Turn, size: int, now: float) -> None:
        """Note that the next ``size`` bytes of a message are sent."""
        turn.offset += size
        self.sent += size
        self._on_the_way.append((self.sent, turn, turn.offset, now))

    def chunks_arrived(self, count: int, now: float) -> dict[Turn, int]:
        """Note that ``count`` bytes of chunks have arrived on this connection.

        Returns how much of each message has arrived, if that has changed. Raises
        :exc:`~snakemq.exceptions.SnakeMQBrokenMessage` if it cannot be true.
        """
        if not self.arrived <= count <= self.sent:
            raise SnakeMQBrokenMessage(
                f"{count} bytes of chunks arrived, after {self.arrived}, of {self.sent}"
            )
        self.arrived = count
        on_the_way = self._on_the_way
        reached: dict[Turn, int] = {}
        sent_at = None
        while on_the_way and on_the_way[0][0] <= count:
            _, turn, offset, sent_at = on_the_way.popleft()
            reached[turn] = offset
        if sent_at is not None:
            self.pace.arrived(now, now - sent_at, count, self.sent)
        return reached
