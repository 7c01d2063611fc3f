"""The packet format, without input or output: bytes in, packets out, and the reverse."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate

from snakemq.exceptions import SnakeMQPacketTooLarge

from ._assembly import SPLIT_FROM, Assembly
from ._split import Packet

_SIZE = struct.Struct("!I")
SIZE_LENGTH = _SIZE.size

FORMAT_LIMIT = 0xFFFFFFFF
"""Size in bytes of the largest packet that the format can announce."""

BLOCK_SIZE = 64 * 1024
"""Small buffers are joined to blocks of about this size, in bytes: one system call for all. Larger
ones make fewer calls, but the receiver begins later, and they do not fit into a near cache."""

JOIN_LIMIT = 64 * 1024
"""Buffers from this size on, in bytes, are sent as they are: a copy costs more than a call."""

_HEADERS = [_SIZE.pack(size) for size in range(1024)]
"""Headers of small packets: to look one up takes 20 ns and no memory, to pack it 90 ns."""


class PacketReader:
    """Finds the packets in a stream of bytes that was cut anywhere.

    :meth:`feed` stores what has arrived, :meth:`read` takes packets out. Memory follows what has
    arrived, not what a header promises.
    """

    __slots__ = (
        "_assembly",
        "_data",
        "_head_size",
        "_position",
        "has_more",
        "max_size",
        "unfinished",
    )

    def __init__(self, max_size: int, head_size: int = 0) -> None:
        """``head_size``: large packets that arrive in pieces come out as a :class:`SplitPacket`
        whose head has that many bytes; 0: none does."""
        self.max_size = max_size
        """Size in bytes of the largest packet; may be changed at any time."""
        self.has_more = False
        """Has :meth:`read` left something for another call?"""
        self.unfinished = 0
        """Bytes that have arrived of an incomplete packet, without its header."""
        self._data = b""
        self._position = 0  # of the first byte in _data that was not read yet
        self._head_size = head_size
        self._assembly: Assembly | None = None  # the packet that is still incomplete

    @property
    def missing(self) -> int:
        """Bytes until the unfinished packet is complete."""
        return 0 if self._assembly is None else self._assembly.missing

    def receive(self, data: bytes) -> list[Packet]:
        """Do :meth:`feed` and :meth:`read`. It takes two thirds of the time for what arrives most
        often where somebody waits for it: one packet, and nothing else."""
        end = len(data)
        if end > SIZE_LENGTH and self._assembly is None and self._position >= len(self._data):
            (size,) = _SIZE.unpack_from(data)
            if size + SIZE_LENGTH == end and size <= self.max_size:
                self.has_more = False
                return [data[SIZE_LENGTH:]]
        self.feed(data)
        return self.read()

    def feed(self, data: bytes) -> None:
        """Store what has arrived."""
        if self._position < len(self._data):
            data = self._data[self._position :] + data
        self._data = data
        self._position = 0

    def read(self) -> list[Packet]:
        """Take out the packets that are complete; empty when more data is needed.

        Raises :exc:`~snakemq.exceptions.SnakeMQPacketTooLarge` if the next packet is larger
        than :attr:`max_size`. Packets before it are given out first, because handling them may
        change the limit; so call this until :attr:`has_more` is false.
        """
        packets: list[Packet] = []
        data = self._data
        position = self._position
        end = len(data)
        self.has_more = False
        assembly = self._assembly
        if assembly is not None:
            position = assembly.missing
            assembly.add(memoryview(data)[:position])
            if assembly.missing:
                self.unfinished += end
                self._data = b""
                return packets
            packets.append(assembly.packet())
            self._assembly = None
            self.unfinished = 0
        unpack_size = _SIZE.unpack_from
        max_size = self.max_size
        last = end - SIZE_LENGTH  # the last position at which a whole header fits
        while position <= last:
            (size,) = unpack_size(data, position)
            if size > max_size:
                if packets:
                    self.has_more = True
                    break
                raise SnakeMQPacketTooLarge(
                    f"a packet of {size} bytes was announced, the limit is {max_size}"
                    f"{_guess(data[position : position + 20])}"
                )
            begin = position + SIZE_LENGTH
            position = begin + size
            if position > end:
                self._assembly = Assembly(size, self._head_size if size >= SPLIT_FROM else 0)
                self._assembly.add(memoryview(data)[begin:])
                self.unfinished = end - begin
                position = end
                break
            packets.append(data[begin:position])
        if position == end:
            self._data = b""
            self._position = 0
        else:
            self._position = position
        return packets


def _guess(data: bytes) -> str:
    """Say what these bytes are instead of a packet, if their beginning shows it."""
    if 20 <= data[0] <= 23 and data[1] == 3:
        return "; it looks like TLS"
    if all(32 <= byte < 127 for byte in data[:SIZE_LENGTH]):
        return f"; it looks like text, {data!r}"
    return ""


class _Block:
    """Packets that are sent together."""

    __slots__ = ("ends", "ids", "parts", "size")

    def __init__(self) -> None:
        self.parts: list[bytes | memoryview] = []
        self.size = 0
        """Bytes of all parts."""
        self.ends: list[int] = []
        """Where each packet ends in the block."""
        self.ids: list[int] = []
        """The id of each packet, parallel to ``ends``."""


class PacketWriter:
    """Turns packets into blocks of bytes to send, and bytes sent into packets sent."""

    __slots__ = (
        "_data",
        "_full",
        "_full_size",
        "_last",
        "_position",
        "_reported",
        "_sending",
        "total_sent",
    )

    def __init__(self) -> None:
        self.total_sent = 0
        """Bytes that were sent, of all blocks."""
        self._last = _Block()  # to which packets are added
        self._full: deque[_Block] = deque()
        self._full_size = 0
        # The one that next_block() gave out.
        self._sending: _Block | None = None
        self._data: bytes | memoryview = b""  # what of it is not sent yet
        self._position = 0  # where that begins
        self._reported = 0  # how many of its packets are reported

    @property
    def size(self) -> int:
        """Bytes that are not sent yet."""
        return len(self._data) + self._full_size + self._last.size

    def add(self, packet_id: int, packet: bytes) -> bool:
        """Queue a packet. True if a block is full, so that it is time to send it."""
        size = len(packet)
        if size >= JOIN_LIMIT:
            return self.add_parts(packet_id, (packet,), size)
        block = self._last
        parts = block.parts
        parts.append(_HEADERS[size] if size < 1024 else _SIZE.pack(size))
        parts.append(packet)
        end = block.size + SIZE_LENGTH + size
        block.size = end
        block.ends.append(end)
        block.ids.append(packet_id)
        if end >= BLOCK_SIZE:
            self._end_block()
            return True
        return False

    def add_parts(self, packet_id: int, parts: Iterable[bytes], size: int) -> bool:
        """Queue a packet that consists of several parts, ``size`` bytes together."""
        return self.add_framed(packet_id, (_SIZE.pack(size), *parts), (SIZE_LENGTH + size,))

    def add_framed(
        self, first_id: int, parts: Sequence[bytes | memoryview], sizes: Sequence[int]
    ) -> bool:
        """Queue packets that already begin with their size, with consecutive ids.

        ``parts``: all buffers of all packets; ``sizes``: the bytes of each packet in them.
        """
        if max(sizes, default=0) >= JOIN_LIMIT:
            self._add_large(first_id, parts, sizes)
            return True
        block = self._last
        block.parts += parts
        ends = [*accumulate(sizes, initial=block.size)]
        block.size = ends[-1]
        del ends[0]
        block.ends += ends
        block.ids += range(first_id, first_id + len(sizes))
        if block.size >= BLOCK_SIZE:
            self._end_block()
            return True
        return False

    def _add_large(
        self, packet_id: int, parts: Iterable[bytes | memoryview], sizes: Iterable[int]
    ) -> None:
        """Queue packets of which some parts are large, and become blocks of their own."""
        missing = iter(sizes)
        left = next(missing)
        for part in parts:
            if len(part) >= JOIN_LIMIT and self._last.size:
                self._end_block()
            block = self._last
            block.parts.append(part)
            block.size += len(part)
            left -= len(part)
            if not left:
                block.ends.append(block.size)
                block.ids.append(packet_id)
                packet_id += 1
                left = next(missing, 0)
            if block.size >= BLOCK_SIZE:
                self._end_block()

    def _end_block(self) -> None:
        self._full.append(self._last)
        self._full_size += self._last.size
        self._last = _Block()

    def next_block(self) -> bytes | memoryview:
        """Return what to send next: the same until :meth:`sent` is called, empty if nothing."""
        if not self._data:
            if not self._last.size and not self._full:
                return b""
            if not self._full:
                self._end_block()
            block = self._full[0]
            self._data = block.parts[0] if len(block.parts) == 1 else b"".join(block.parts)
            block.parts.clear()
            self._sending = self._full.popleft()
            self._full_size -= block.size
            self._position = self._reported = 0
        return self._data

    def begin_block(self, packet_id: int, packet: bytes) -> None:
        """Treat a packet, which begins with its size, as the block that is being sent. Only while
        there is nothing else to send."""
        assert not self.size
        block = self._sending = _Block()
        block.ids.append(packet_id)
        block.ends.append(len(packet))
        self._data = packet
        self._position = self._reported = 0

    def sent(self, count: int) -> list[int]:
        """The first ``count`` bytes of the block were sent.

        Returns the ids of the packets that are now sent to their last byte, in the order in which
        they were added.
        """
        block = self._sending
        assert block is not None
        self.total_sent += count
        reported = self._reported
        if count == len(self._data):
            self._data = b""
            self._sending = None
            return block.ids[reported:] if reported else block.ids
        self._data = memoryview(self._data)[count:]
        self._position += count
        self._reported = bisect_right(block.ends, self._position)
        return block.ids[reported : self._reported]
