"""Acknowledging the messages of RPC."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from snakemq.message import Message
from snakemq.messaging import Messaging

Callback = Callable[[str, str, Message], object]


def acknowledging(messaging: Messaging, callback: Callback) -> Callback:
    """A callback of messages which says that they are processed when it has returned, unless it
    returns True: then it has deferred that.

    The same callback, if messaging does that by itself.
    """
    if not messaging.manual_ack:
        return callback

    def process(conn_id: str, ident: str, message: Message) -> None:
        if callback(conn_id, ident, message) is not True:
            acknowledge(messaging, message)

    return process


def acknowledge(messaging: Messaging, message: Message) -> None:
    """A message is processed. Thread-safe."""
    with contextlib.suppress(ValueError):  # the application has said it for all messages
        messaging.ack(message)
