"""Acknowledges the messages of RPC."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from snakemq.message import Message
from snakemq.messaging import Messaging

Callback = Callable[[str, str, Message], object]


def acknowledging(messaging: Messaging, callback: Callback) -> Callback:
    """Wrap a callback so that a message is acknowledged once the callback has returned.

    A callback that returns True has deferred the acknowledgement. Returns the callback itself if
    messaging acknowledges on its own.
    """
    if not messaging.manual_ack:
        return callback

    def process(conn_id: str, ident: str, message: Message) -> None:
        if callback(conn_id, ident, message) is not True:
            acknowledge(messaging, message)

    return process


def always(callback: Callback) -> Callable[[str, str, Message], bool]:
    """Make a claim of a callback: it takes all messages, and decides itself about each peer."""

    def claim(conn_id: str, ident: str, message: Message) -> bool:
        callback(conn_id, ident, message)
        return True

    return claim


def deny(messaging: Messaging, message: Message) -> None:
    """Tell messaging that the sender of a message may not send it. In the loop, once for a message;
    to acknowledge it afterwards has no effect."""
    with contextlib.suppress(ValueError):  # it has been offered before, and its ack deferred then
        messaging.defer_ack(message)
    with contextlib.suppress(ValueError):  # the application acknowledges all messages itself
        messaging.deny(message)


def acknowledge(messaging: Messaging, message: Message) -> None:
    """Tell messaging that a message is processed. Thread-safe."""
    with contextlib.suppress(ValueError):  # the application acknowledges all messages itself
        messaging.ack(message)
