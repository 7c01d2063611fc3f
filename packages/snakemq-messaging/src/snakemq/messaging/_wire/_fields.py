"""The fields behind the fixed part of a features frame: type (1), length (2), value.

Types that are not known are ignored, so that later versions can tell more.
"""

from __future__ import annotations

from collections.abc import Mapping

from snakemq.exceptions import SnakeMQBrokenMessage

FIELD_PRODUCT = 1
"""What the peer runs, such as ``snakemq``."""

FIELD_VERSION = 2
"""The version of that."""

MAX_TEXT_LENGTH = 64
"""Bytes of the longest text in a field, which are printable ASCII."""

_HEAD_SIZE = 3


def encode_fields(fields: Mapping[int, bytes]) -> bytes:
    """Return fields as they are on the wire. An empty value is left out."""
    return b"".join(
        bytes([kind]) + len(value).to_bytes(2, "big") + value
        for kind, value in fields.items()
        if value
    )


def decode_fields(data: bytes) -> dict[int, bytes]:
    """Return the values of fields by their types.

    Raises :exc:`~snakemq.exceptions.SnakeMQBrokenMessage` if a field is cut, or a type comes twice.
    """
    fields: dict[int, bytes] = {}
    place = 0
    while place < len(data):
        head = data[place : place + _HEAD_SIZE]
        end = place + _HEAD_SIZE + int.from_bytes(head[1:], "big")
        if len(head) < _HEAD_SIZE or end > len(data):
            raise SnakeMQBrokenMessage(f"features that end in the middle of field {head[0]}")
        if head[0] in fields:
            raise SnakeMQBrokenMessage(f"features with two fields {head[0]}")
        fields[head[0]] = data[place + _HEAD_SIZE : end]
        place = end
    return fields


def text_in(fields: Mapping[int, bytes], kind: int) -> str:
    """Return the text of a field, or "" if it is missing.

    It may be shown anywhere: it comes from a stranger, so it is short, and has no characters that
    cannot be printed. Raises :exc:`~snakemq.exceptions.SnakeMQBrokenMessage` for any other.
    """
    text = fields.get(kind, b"").decode("latin-1")
    if len(text) > MAX_TEXT_LENGTH or not (text.isascii() and text.isprintable()):
        raise SnakeMQBrokenMessage(
            f"field {kind} of the features is not a short text: {text[:MAX_TEXT_LENGTH]!r}"
        )
    return text
