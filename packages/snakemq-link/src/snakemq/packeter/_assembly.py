"""A packet that arrives in several pieces."""

from __future__ import annotations

import io

from ._split import Packet, SplitPacket

SPLIT_FROM = 64 * 1024
"""Size in bytes of the smallest packet whose head is kept apart, which saves a layer above a copy
of the rest. For smaller packets, that copy costs less than a second object."""

_MAX_STEP = 4 * 1024 * 1024
"""Most bytes of room that are made at a time. Larger steps are not faster."""


class Assembly:
    """Collects the pieces of one packet, and hands out the whole without another copy.

    It copies the pieces to where they belong, into a buffer with room for as much again as has
    arrived, but for 4 MiB more at most, whatever size was announced. It does not touch what
    ``BytesIO`` reserves beyond that. A packet of 1 MiB takes 0.16 ms of processor time this way. It
    took 0.76 ms in a ``BytesIO`` that grew with each piece, by an eighth at a time. Keeping the
    pieces and joining them at the end also takes 0.16 ms, but holds the packet in memory twice.
    """

    __slots__ = ("_arrived", "_buffer", "_head", "_head_missing", "_room", "_size", "missing")

    def __init__(self, size: int, head_size: int = 0) -> None:
        """``size``: of the packet, in bytes; ``head_size``: how many of them come out apart."""
        self.missing = size
        """Bytes that have not arrived yet."""
        self._head = b""
        self._head_missing = head_size
        self._size = size - head_size
        self._buffer = io.BytesIO()
        self._arrived = 0  # without the head
        self._room = 0

    def add(self, piece: memoryview) -> None:
        """Add the next bytes of the packet, :attr:`missing` at most."""
        self.missing -= len(piece)
        if self._head_missing:
            head = bytes(piece[: self._head_missing])
            self._head += head
            self._head_missing -= len(head)
            piece = piece[len(head) :]
        arrived = self._arrived + len(piece)
        if arrived > self._room:
            self._make_room(arrived)
        self._buffer.write(piece)
        self._arrived = arrived

    def _make_room(self, arrived: int) -> None:
        self._room = min(self._size, arrived + min(arrived, _MAX_STEP))
        if self._room > arrived:
            self._buffer.seek(self._room - 1)
            self._buffer.write(b"\0")
            self._buffer.seek(self._arrived)

    def packet(self) -> Packet:
        """Return the packet. Call this once, when nothing is missing."""
        body = self._buffer.getvalue()
        return SplitPacket(self._head, body) if self._head else body
