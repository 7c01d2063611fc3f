"""A packet that arrives in several pieces."""

from __future__ import annotations

import io

from ._split import Packet, SplitPacket

SPLIT_FROM = 64 * 1024
"""Size in bytes of the smallest packet whose head is kept apart. What a layer above then saves is a
copy of the rest; below, the copy takes less than two objects do."""

_MAX_STEP = 4 * 1024 * 1024
"""Bytes of room that are made at a time, at most. Larger steps are not faster."""


class Assembly:
    """Takes the pieces of one packet, and gives away the whole without a copy.

    The pieces are copied to where they belong, into a buffer with room for as much again as has
    arrived, and for 4 MiB more at most, whatever was promised. What ``BytesIO`` reserves beyond
    that is not touched. A packet of 1 MiB takes 0.16 ms of processor time like that. It took 0.76
    ms in a ``BytesIO`` that grew with each piece, by an eighth at a time; and pieces that are kept
    and joined in the end, which takes 0.16 ms as well, are twice in memory then.
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
        """The next bytes of the packet, :attr:`missing` at most."""
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
        """All of it, when nothing is missing. To be called once."""
        body = self._buffer.getvalue()
        return SplitPacket(self._head, body) if self._head else body
