"""The frames of a large message, which goes as a head and chunks.

Between the chunks of one message other frames pass, and chunks of other messages. A head ends with
the header of a message frame. The chunks of the message, put together behind it, make the frame
that a peer without chunks would get.
"""

import struct
from typing import NamedTuple

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.packeter import SplitPacket

from . import _frames as frames

CUT_FROM = 64 * 1024
"""Messages with more bytes of data than this are cut for peers that put them together."""

MAX_CHUNK_PACKET = 64 * 1024
"""Bytes of the largest packet with a chunk that is sent. A longer one would delay others more."""

MAX_AT_ONCE = 16
"""How many messages of a peer may be unfinished at a time."""

_HEAD = struct.Struct("!BII")
_CHUNK_PACKET = struct.Struct("!IB16sI")
_CHUNK = struct.Struct("!B16sI")
_ABORT = struct.Struct("!B16s")
_PLACE = struct.Struct("!B16sI")
_COUNT = struct.Struct("!BQ")

CHUNK_HEADER_SIZE = _CHUNK.size
CHUNK_PACKET_OVERHEAD = _CHUNK_PACKET.size
"""Bytes of a packet before its chunk."""

MAX_CHUNK = MAX_CHUNK_PACKET - CHUNK_PACKET_OVERHEAD
"""Bytes of message data in such a packet."""

_UUID = slice(1, 17)


class Head(NamedTuple):
    """What a peer says before the chunks of a message."""

    size: int
    """Bytes of the headers and the data."""
    offset: int
    """How many of them the receiver has from earlier connections."""
    frame: bytes
    """The header of the message frame."""

    @property
    def uuid(self) -> bytes:
        return self.frame[_UUID]

    @property
    def may_come_again(self) -> bool:
        """Does the sender keep the message if the connection breaks?"""
        return self.frame[17:21] != b"\0\0\0\0"

    def repetition(self) -> SplitPacket:
        """Return a frame that stands for the message where it is known already."""
        # Without headers, which are in what is not sent again.
        return SplitPacket(frames.MESSAGE_BYTES[0] + self.frame[1:], b"")


class Place(NamedTuple):
    """How much of a message has arrived on earlier connections."""

    uuid: bytes
    offset: int


def encode_head(head: Head) -> bytes:
    return _HEAD.pack(frames.FRAME_TYPE_HEAD, head.size, head.offset) + head.frame


def decode_head(frame: bytes) -> Head:
    if len(frame) < _HEAD.size + frames.MESSAGE_HEADER_SIZE:
        raise SnakeMQBrokenMessage(f"the head of a message in {len(frame)} bytes")
    _, size, offset = _HEAD.unpack_from(frame)
    head = Head(size, offset, frame[_HEAD.size :])
    if head.frame[:1] not in frames.MESSAGE_BYTES or len(head.frame) != frames.MESSAGE_HEADER_SIZE:
        raise SnakeMQBrokenMessage("the head of a message is not the beginning of a message frame")
    if not size or offset > size:
        raise SnakeMQBrokenMessage(f"the head of a message of {size} bytes, from {offset} on")
    return head


def pack_chunk_header(uuid: bytes, offset: int, size: int) -> bytes:
    """Return what goes before a chunk of ``size`` bytes: the size of its packet, and the header of
    its frame."""
    return _CHUNK_PACKET.pack(CHUNK_HEADER_SIZE + size, frames.FRAME_TYPE_CHUNK, uuid, offset)


def decode_chunk(frame: bytes) -> tuple[bytes, int, memoryview]:
    """Return the uuid of the message, the place of the chunk in its data, and the chunk."""
    if len(frame) <= CHUNK_HEADER_SIZE:
        raise SnakeMQBrokenMessage(f"a chunk frame of {len(frame)} bytes")
    _, uuid, offset = _CHUNK.unpack_from(frame)
    return uuid, offset, memoryview(frame)[CHUNK_HEADER_SIZE:]


def encode_abort(uuid: bytes) -> bytes:
    return _ABORT.pack(frames.FRAME_TYPE_ABORT, uuid)


def decode_abort(frame: bytes) -> bytes:
    """Return the uuid of the message whose rest does not come."""
    if len(frame) != _ABORT.size:
        raise SnakeMQBrokenMessage(f"an abort frame of {len(frame)} bytes")
    return frame[_UUID]


def encode_place(place: Place) -> bytes:
    return _PLACE.pack(frames.FRAME_TYPE_PLACE, *place)


def decode_place(frame: bytes) -> Place:
    if len(frame) != _PLACE.size:
        raise SnakeMQBrokenMessage(f"a frame of {len(frame)} bytes says where to go on")
    return Place(*_PLACE.unpack(frame)[1:])


def encode_arrived(count: int) -> bytes:
    return _COUNT.pack(frames.FRAME_TYPE_ARRIVED, count)


def decode_arrived(frame: bytes) -> int:
    """Return how many bytes of chunks of this connection have arrived."""
    if len(frame) != _COUNT.size:
        raise SnakeMQBrokenMessage(f"a frame of {len(frame)} bytes counts the bytes of chunks")
    count: int = _COUNT.unpack(frame)[1]
    return count
