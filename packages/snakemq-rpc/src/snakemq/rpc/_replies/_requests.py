"""Reads received requests."""

from __future__ import annotations

from snakemq.message import Message

from .._pickling._pickler import Pickler
from .._protocol import REQUEST_PREFIX, Request, check_request

_LONGEST_TIMEOUT = 1e9
"""Seconds. A caller that waits longer counts as waiting forever."""


def body_of(message: Message) -> bytes:
    """Return the pickle in the message of a request."""
    return message.data[len(REQUEST_PREFIX) :]


def read_request(pickler: Pickler, message: Message) -> Request:
    """Decode a request. Raises whatever the pickler and the classes registered with it raise, and
    ``SnakeMQBrokenMessage``."""
    return check_request(pickler.loads(message.data[len(REQUEST_PREFIX) :]))


def remaining(request: Request) -> float | None:
    """Return how many seconds the caller was still going to wait when it sent the request.

    ``None``: it waits forever, or does not say.
    """
    seconds: object = request.get("timeout")
    if isinstance(seconds, (int, float)) and 0 <= seconds < _LONGEST_TIMEOUT:
        return seconds
    return None
