"""What can be sent: idents and messages that fit the frames."""

from __future__ import annotations

from snakemq.exceptions import SnakeMQMessageTooLarge
from snakemq.message import MAX_HEADERS_SIZE, Message
from snakemq.message._headers import LENGTH_SIZE
from snakemq.message._stack import size_of

from . import _frames as frames

MAX_MESSAGE_SIZE = frames.MAX_PACKET_SIZE - frames.MESSAGE_HEADER_SIZE
"""The most bytes of a message, data and headers, that the packet format allows."""

LARGEST_DATA_WITH_ANY_HEADERS = MAX_MESSAGE_SIZE - MAX_HEADERS_SIZE - LENGTH_SIZE
"""Data of this size can be sent, whatever headers it has."""


def check_ident(ident: str) -> None:
    """Refuse what cannot be an ident, with ``TypeError`` or ``ValueError``."""
    if not isinstance(ident, str):
        raise TypeError(f"an ident must be a str, not {type(ident).__name__}")
    if len(ident) > frames.MAX_IDENT_LENGTH:
        raise ValueError(
            f"an ident has at most {frames.MAX_IDENT_LENGTH} characters, {ident!r} has {len(ident)}"
        )
    if not ident.isascii():
        ident.encode()  # UnicodeEncodeError, a ValueError, for half of a surrogate pair


def check_own_ident(name: str, value: str) -> None:
    """Refuse what cannot be the ident of this peer; ``name``: the setting it is given as."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {value!r}")
    check_ident(value)
    if not value:
        raise ValueError("an ident has at least one character: choose a name for this peer")


def check_message(message: Message) -> None:
    """Refuse what cannot be sent, with ``TypeError`` or
    :exc:`~snakemq.exceptions.SnakeMQMessageTooLarge`."""
    if not isinstance(message, Message):
        raise TypeError(f"message must be a snakemq.message.Message, not {message!r}")
    if len(message.data) <= LARGEST_DATA_WITH_ANY_HEADERS:
        return
    size = size_of(message)
    if size > MAX_MESSAGE_SIZE:
        raise SnakeMQMessageTooLarge(f"{size} bytes; the format ends at 4 GiB")
