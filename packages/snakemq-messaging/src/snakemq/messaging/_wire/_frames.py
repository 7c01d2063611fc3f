"""The frames of the messaging protocol: ``[1 byte type | payload]``, one in each packet.

Types 0 to 5 are those of snakeMQ 1.6, bit for bit. 1.6 ignores types that it does not know,
which makes room for extensions from 16 on.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from snakemq.exceptions import SnakeMQBrokenMessage

from ._fields import FIELD_PRODUCT, FIELD_VERSION, decode_fields, encode_fields, text_in
from ._rejections import Rejection

PROTOCOL_VERSION = 1

FRAME_TYPE_PROTOCOL_VERSION = 0
FRAME_TYPE_INCOMPATIBLE_PROTOCOL = 1
FRAME_TYPE_IDENTIFICATION = 2
FRAME_TYPE_MESSAGE = 3
FRAME_TYPE_PING = 4
FRAME_TYPE_PONG = 5
FRAME_TYPE_FEATURES = 16
FRAME_TYPE_ACK = 17
FRAME_TYPE_MESSAGE_WITH_HEADERS = 18
FRAME_TYPE_REFUSED = 19
FRAME_TYPE_NUMBER = 20
FRAME_TYPE_CHUNK = 21
FRAME_TYPE_PLACE = 22
FRAME_TYPE_REJECTED = 23
FRAME_TYPE_HEAD = 26
FRAME_TYPE_ABORT = 27
FRAME_TYPE_ARRIVED = 28

FEATURE_ACKS = 0x1
"""Feature bit: message frames are acknowledged."""

FEATURE_HEADERS = 0x2
"""Feature bit: messages with headers are understood."""

FEATURE_CHUNKS = 0x8
"""Feature bit: large messages are put together from chunks, see ``_cutting.py``."""

FEATURE_REJECTIONS = 0x10
"""Feature bit: the ack of a message that was rejected says so."""

MAX_REASON_LENGTH = 200
"""Length of the longest reason of a refusal or a rejection, in bytes."""

MAX_IDENT_LENGTH = 50
"""Length of the longest ident in characters."""

INFINITE_TTL = 0xFFFFFFFF

EXTENSION_VERSION = 1

_VERSION = struct.Struct("!BI")
_MESSAGE = struct.Struct("!B16sII")
_MESSAGE_PACKET = struct.Struct("!IB16sII")
_FEATURES = struct.Struct("!BHIQIII")
_ACK = struct.Struct("!BQ")
_NUMBER = struct.Struct("!BQ")
_REJECTED = struct.Struct("!BQB")

MESSAGE_HEADER_SIZE = _MESSAGE.size

MAX_PACKET_SIZE = 0xFFFFFFFF
"""What the packet format allows, in bytes."""

MESSAGE_BYTES = (bytes([FRAME_TYPE_MESSAGE]), bytes([FRAME_TYPE_MESSAGE_WITH_HEADERS]))
"""The first byte of each frame that carries a message."""
PING = bytes([FRAME_TYPE_PING])
PONG = bytes([FRAME_TYPE_PONG])
INCOMPATIBLE_PROTOCOL = bytes([FRAME_TYPE_INCOMPATIBLE_PROTOCOL])


class Refusal(IntEnum):
    """Why a connection is refused, for programs; the text beside it is for people."""

    OTHER = 0
    TAKEN_IDENT = 1
    BROKEN_RULES = 2
    FLOOD = 3
    NOT_PROVEN = 4


class Features(NamedTuple):
    """What a 2.x peer says about itself before its identification."""

    bits: int
    """Extensions that it speaks."""
    epoch: int
    """64 random bits, drawn anew by every process: tells a restarted peer from a returning one."""
    window_messages: int
    """How many messages to it may be unacknowledged."""
    window_bytes: int
    """How many bytes of data and headers to it may be unacknowledged."""
    max_packet_size: int
    """The largest packet that it accepts, in bytes."""
    extension_version: int = EXTENSION_VERSION
    product: str = ""
    """What it runs; "" if it does not say so."""
    version: str = ""
    """The version of that."""


def encode_version(version: int = PROTOCOL_VERSION) -> bytes:
    return _VERSION.pack(FRAME_TYPE_PROTOCOL_VERSION, version)


def decode_version(frame: bytes) -> int:
    if len(frame) != _VERSION.size:
        raise SnakeMQBrokenMessage(f"a protocol version frame of {len(frame)} bytes")
    version: int = _VERSION.unpack(frame)[1]
    return version


def encode_identification(ident: str) -> bytes:
    return bytes([FRAME_TYPE_IDENTIFICATION]) + ident.encode()


def decode_identification(frame: bytes) -> str:
    try:
        ident = frame[1:].decode()
    except UnicodeDecodeError as exc:
        # 1.6 replaces what it cannot decode, so that different peers may end up with one ident.
        raise SnakeMQBrokenMessage(f"the ident is not UTF-8: {exc}") from exc
    if len(ident) > MAX_IDENT_LENGTH:
        raise SnakeMQBrokenMessage(
            f"an ident of {len(ident)} characters, the limit is {MAX_IDENT_LENGTH}"
        )
    return ident


PACKET_SIZE_LENGTH = _MESSAGE_PACKET.size - _MESSAGE.size

pack_message_packet = _MESSAGE_PACKET.pack
"""``(size, type, uuid, ttl, flags)``: the header of a message frame with that of its packet. The
struct's own method, because it is called for each message."""

pack_message_header = _MESSAGE.pack
"""``(type, uuid, ttl, flags)``: the header of a message frame alone."""

unpack_message_header = _MESSAGE.unpack_from
"""``frame`` to ``(type, uuid, ttl, flags)``, with ``INFINITE_TTL`` as it is."""


def ttl_left(ttl: float, waited: float, may_come_again: bool) -> int:
    """Return the ttl for the wire, in seconds, of a message that has waited and not expired.

    ``may_come_again``: does the peer acknowledge messages, so that it may get this one again?
    """
    # Time waited counts in whole seconds as well, so that a message that did not wait arrives with
    # the ttl it was sent with.
    seconds = int(ttl - int(waited))
    if seconds > 0:
        return seconds
    # 0 says that it will not come again, so that nobody looks for it.
    return 1 if ttl and may_come_again else 0


def encode_features(features: Features) -> bytes:
    fields = {
        FIELD_PRODUCT: features.product.encode(),
        FIELD_VERSION: features.version.encode(),
    }
    fixed = _FEATURES.pack(
        FRAME_TYPE_FEATURES,
        features.extension_version,
        features.bits,
        features.epoch,
        features.window_messages,
        features.window_bytes,
        features.max_packet_size,
    )
    return fixed + encode_fields(fields)


def decode_features(frame: bytes) -> Features:
    """Read the fixed part, and the fields behind it that are known."""
    if len(frame) < _FEATURES.size:
        raise SnakeMQBrokenMessage(f"a features frame of {len(frame)} bytes")
    _, version, bits, epoch, messages, bytes_, max_packet_size = _FEATURES.unpack_from(frame)
    fields = decode_fields(frame[_FEATURES.size :])
    product, product_version = text_in(fields, FIELD_PRODUCT), text_in(fields, FIELD_VERSION)
    return Features(
        bits, epoch, messages, bytes_, max_packet_size, version, product, product_version
    )


def encode_ack(processed: int) -> bytes:
    return _ACK.pack(FRAME_TYPE_ACK, processed)


def decode_ack(frame: bytes) -> int:
    """Return how many message frames of the connection the peer has processed."""
    if len(frame) != _ACK.size:
        raise SnakeMQBrokenMessage(f"an ack frame of {len(frame)} bytes")
    processed: int = _ACK.unpack(frame)[1]
    return processed


def encode_number(number: int) -> bytes:
    return _NUMBER.pack(FRAME_TYPE_NUMBER, number)


def decode_number(frame: bytes) -> int:
    """Return the position of this connection among those that the peer's process has admitted."""
    if len(frame) != _NUMBER.size:
        raise SnakeMQBrokenMessage(f"a connection number frame of {len(frame)} bytes")
    number: int = _NUMBER.unpack(frame)[1]
    return number


def encode_refused(code: Refusal, reason: str) -> bytes:
    return bytes([FRAME_TYPE_REFUSED, code]) + _encode_reason(reason)


def decode_refused(frame: bytes) -> tuple[int, str]:
    """Return the code, which may be unknown, and the reason, a text of a stranger."""
    if len(frame) < 2:
        raise SnakeMQBrokenMessage("a refusal without a code")
    return frame[1], frame[2 : 2 + MAX_REASON_LENGTH].decode(errors="replace")


def encode_rejected(number: int, rejection: Rejection) -> bytes:
    code, reason = rejection
    return _REJECTED.pack(FRAME_TYPE_REJECTED, number, code) + _encode_reason(reason)


def decode_rejected(frame: bytes) -> tuple[int, Rejection]:
    """Return which message frame of the connection was rejected, and why."""
    if len(frame) < _REJECTED.size:
        raise SnakeMQBrokenMessage(f"a rejection frame of {len(frame)} bytes")
    _, number, code = _REJECTED.unpack_from(frame)
    end = _REJECTED.size + MAX_REASON_LENGTH
    return number, Rejection(code, frame[_REJECTED.size : end].decode(errors="replace"))


def _encode_reason(reason: str) -> bytes:
    text = reason.encode(errors="replace")[:MAX_REASON_LENGTH]
    # If the cut goes through a character, the whole character is left out.
    return text.decode(errors="ignore").encode()
