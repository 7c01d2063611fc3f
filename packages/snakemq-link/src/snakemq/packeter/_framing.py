"""The packet format, without input or output: bytes in, packets out, and the reverse."""

from __future__ import annotations

import io
import struct
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, count

from snakemq.exceptions import SnakeMQPacketTooLarge

_SIZE = struct.Struct("!I")
SIZE_LENGTH = _SIZE.size

FORMAT_LIMIT = 0xFFFFFFFF
"""Size in bytes of the largest packet that the format can announce."""

BLOCK_SIZE = 256 * 1024
"""Small buffers are joined to blocks of about this size, in bytes: one system call for all."""

JOIN_LIMIT = 64 * 1024
"""Buffers from this size on, in bytes, are sent as they are: a copy costs more than a call."""


class PacketReader:
    """Finds the packets in a stream of bytes that was cut anywhere.

    :meth:`feed` stores what has arrived, :meth:`read` takes packets out. Memory follows what has
    arrived, not what a header promises.
    """

    __module__ = "snakemq.packeter"
    __slots__ = ("_body", "_data", "_missing", "_position", "max_size")

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        """Size in bytes of the largest packet; may be changed at any time."""
        self._data = b""
        self._position = 0  # of the first byte in _data that was not read yet
        # The beginning of a packet that is still incomplete. BytesIO grows by an eighth at a time
        # and gives its value away without a copy, so a large packet is in memory only once.
        self._body: io.BytesIO | None = None
        self._missing = 0

    def feed(self, data: bytes) -> None:
        """Store what has arrived."""
        if self._position < len(self._data):
            data = self._data[self._position :] + data
        self._data = data
        self._position = 0

    def read(self) -> list[bytes]:
        """Take out the packets that are complete; empty when more data is needed.

        Raises :exc:`~snakemq.exceptions.SnakeMQPacketTooLarge` if the next packet is larger
        than :attr:`max_size`. Packets before it are given out first, because handling them may
        change the limit; so call this until it returns nothing.
        """
        packets: list[bytes] = []
        data = self._data
        position = self._position
        end = len(data)
        if self._body is not None:
            if end - position < self._missing:
                self._body.write(data)
                self._missing -= end - position
                self._data = b""
                self._position = 0
                return packets
            self._body.write(memoryview(data)[: self._missing])
            packets.append(self._body.getvalue())
            position += self._missing
            self._body = None
        unpack_size = _SIZE.unpack_from
        max_size = self.max_size
        while end - position >= SIZE_LENGTH:
            (size,) = unpack_size(data, position)
            if size > max_size:
                if packets:
                    break
                raise SnakeMQPacketTooLarge(
                    f"a packet of {size} bytes was announced, the limit is {max_size}"
                )
            position += SIZE_LENGTH
            next_position = position + size
            if next_position > end:
                self._body = io.BytesIO()
                self._body.write(memoryview(data)[position:])
                self._missing = next_position - end
                position = end
                break
            packets.append(data[position:next_position])
            position = next_position
        if position == end:
            self._data = b""
            self._position = 0
        else:
            self._position = position
        return packets


class PacketWriter:
    """Turns packets into blocks of bytes to send, and bytes sent into packets sent."""

    __module__ = "snakemq.packeter"
    __slots__ = ("_block", "_buffered", "_buffers", "_ends", "_queued", "_sent")

    def __init__(self) -> None:
        self._buffers: deque[bytes] = deque()
        self._buffered = 0  # the sum of their lengths
        self._block: bytes | memoryview = b""  # what next_block() gave out and is not sent yet
        self._ends: deque[tuple[int, int]] = deque()  # where in the stream each packet ends
        self._queued = 0  # bytes since the beginning
        self._sent = 0

    @property
    def size(self) -> int:
        """Bytes that are not sent yet."""
        return self._queued - self._sent

    def add(self, packet_id: int, parts: Iterable[bytes], size: int) -> None:
        """Queue a packet: its parts in their order, ``size`` bytes together."""
        buffers = self._buffers
        buffers.append(_SIZE.pack(size))
        buffers.extend(parts)
        size += SIZE_LENGTH
        self._buffered += size
        self._queued += size
        self._ends.append((self._queued, packet_id))

    def add_framed(self, first_id: int, parts: Iterable[bytes], sizes: Sequence[int]) -> None:
        """Queue packets which begin with their size already, with consecutive ids.

        ``parts``: all buffers of all packets; ``sizes``: the bytes of each packet in them.
        """
        self._buffers.extend(parts)
        ends = accumulate(sizes, initial=self._queued)
        next(ends)
        self._ends.extend(zip(ends, count(first_id)))
        total = sum(sizes)
        self._buffered += total
        self._queued += total

    def next_block(self) -> bytes | memoryview:
        """What to send next; the same again until :meth:`sent` is called; empty if nothing."""
        if not self._block and self._buffers:
            self._block = self._take_block()
        return self._block

    def _take_block(self) -> bytes:
        buffers = self._buffers
        if self._buffered <= BLOCK_SIZE:
            # The usual case, a batch of small packets, without a look at each of them.
            block = b"".join(buffers)
            buffers.clear()
            self._buffered = 0
            return block
        first = buffers.popleft()
        if len(first) < JOIN_LIMIT:
            parts = [first]
            size = len(first)
            while buffers and size < BLOCK_SIZE and len(buffers[0]) < JOIN_LIMIT:
                buffer = buffers.popleft()
                parts.append(buffer)
                size += len(buffer)
            first = b"".join(parts)
        self._buffered -= len(first)
        return first

    def sent(self, count: int) -> int | None:
        """The first ``count`` bytes of the block were sent.

        Returns the id of the last packet that is now sent to its last byte, ``None`` if there
        is no new one. Ids come back in the order in which the packets were added.
        """
        if count == len(self._block):
            self._block = b""
        else:
            self._block = memoryview(self._block)[count:]
        self._sent += count
        sent = self._sent
        ends = self._ends
        last = None
        while ends and ends[0][0] <= sent:
            last = ends.popleft()[1]
        return last
