"""Packets in one part or two."""

from typing import NamedTuple, TypeAlias


class SplitPacket(NamedTuple):
    """A large packet in two parts, see :meth:`Packeter.split_large`."""

    head: bytes
    body: bytes

    def whole(self) -> bytes:
        """Join both parts."""
        return self.head + self.body


Packet: TypeAlias = bytes | SplitPacket
