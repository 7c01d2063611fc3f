"""What can be assigned to an event, for the type checker and in truth."""

from __future__ import annotations

from typing import assert_type

from snakemq.callbacks import Callback
from snakemq.link import Link, LinkInterface
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.throttle import Throttle


def on_message(conn_id: str, ident: str, message: Message) -> None: ...


def on_connect(conn_id: str) -> None: ...


def test_functions_can_be_assigned_to_events_and_callbacks_are_read() -> None:
    link = Link()
    try:
        throttle = Throttle(link, 1000)
        interfaces: list[LinkInterface] = [link, throttle]
        packeter = Packeter(throttle)
        messaging = Messaging("alice", "", packeter)
        link.on_connect = on_connect
        throttle.on_connect = on_connect
        packeter.on_connect = on_connect
        messaging.on_message_recv = on_message
        messaging.on_message_recv = None
        messaging.on_message_recv = lambda conn_id, ident, message: None
        messaging.on_connect = on_connect  # type: ignore[assignment]
        assert on_connect in assert_type(link.on_connect, Callback[[str]]).callbacks
        assert_type(messaging.on_message_recv, Callback[[str, str, Message]])
        assert len(interfaces) == 2
    finally:
        link.cleanup()
