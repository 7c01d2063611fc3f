"""What the receiver of a message says when it gives the message up."""

from enum import IntEnum
from typing import NamedTuple


class RejectionCode(IntEnum):
    """Why a message was rejected, for programs; the text beside it is for people."""

    OTHER = 0
    APPLICATION = 1
    """The application has said so."""
    ATTEMPTS = 2
    """The application has tried too often."""
    DENIED = 3
    """The sender is not allowed to send it."""


class Rejection(NamedTuple):
    """A message was given up by its receiver."""

    code: int
    """A :class:`RejectionCode`, or one that a newer peer knows."""
    reason: str
    """At most 200 bytes of it travel. From a peer, it is the text of a stranger."""
