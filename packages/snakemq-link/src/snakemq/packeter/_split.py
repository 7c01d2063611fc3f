"""Packets in one part or two."""

import io
from typing import NamedTuple, TypeAlias, cast


class SplitPacket(NamedTuple):
    """A large packet in two parts, see :meth:`Packeter.split_large`."""

    head: bytes
    body: bytes

    def whole(self) -> bytes:
        """Join both parts."""
        return self.head + self.body


Packet: TypeAlias = bytes | SplitPacket


def join_split(packets: list[Packet]) -> None:
    """Replace the packets in two parts by packets in one.

    A packet that nothing but the list refers to is joined in its place in memory. If it has
    300 MiB, this takes 300 MiB, and not 600.
    """
    for number in range(len(packets)):  # enumerate() would refer to the packet, too
        if isinstance(packets[number], SplitPacket):
            packets[number] = _taken_whole(packets, number)


def _taken_whole(packets: list[Packet], number: int) -> bytes:
    """Take a split packet out of the list, and return it in one part."""
    head, body = cast("SplitPacket", packets[number])
    packets[number] = b""
    # This refers to the body. Its first change makes a copy, unless nothing else refers to it.
    buffer = io.BytesIO(body)
    del body
    size = buffer.seek(0, io.SEEK_END)
    buffer.write(head)  # makes room
    with buffer.getbuffer() as view:
        view[len(head) :] = view[:size]
        view[: len(head)] = head
    return buffer.getvalue()
