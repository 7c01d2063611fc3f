"""The part of a message frame that carries headers: their length (2 bytes), then the headers."""

from __future__ import annotations

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.message import Headers
from snakemq.message._headers import LENGTH_SIZE


def encode_headers(headers: Headers) -> bytes:
    """Return what stands between the header of the frame and the data: ``headers.size`` bytes."""
    encoded = headers.encoded
    return len(encoded).to_bytes(LENGTH_SIZE, "big") + encoded


def decode_headers(payload: bytes) -> tuple[Headers, bytes]:
    """Return the headers and the data of a message. ``payload``: both, as they are in the frame.

    Raises :exc:`~snakemq.exceptions.SnakeMQBrokenMessage`.
    """
    length = int.from_bytes(payload[:LENGTH_SIZE], "big")
    end = LENGTH_SIZE + length
    if len(payload) < end or len(payload) < LENGTH_SIZE:
        raise SnakeMQBrokenMessage(
            f"a message with headers of {length} bytes, in {len(payload)} bytes"
        )
    try:
        return Headers.decode(payload[LENGTH_SIZE:end]), payload[end:]
    except ValueError as error:
        raise SnakeMQBrokenMessage(str(error)) from None
