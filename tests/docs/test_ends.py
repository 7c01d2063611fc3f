"""The table of guarantees.md about the end of the sender's process."""

from __future__ import annotations

import threading

import pytest

from snakemq.link import Link
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage

from .pages import DOCS
from .tables import rows

ROWS = rows((DOCS / "guarantees.md").read_text(), "the process calls")
PATIENCE = 60.0
COUNT = 20
WINDOW = 4


class Stack:
    def __init__(self, ident: str, storage: MemoryQueuesStorage | None = None) -> None:
        self.link = Link()
        self.storage = storage
        self.messaging = Messaging(
            ident, "", Packeter(self.link), storage, window_messages=WINDOW, manual_ack=True
        )
        self.thread = threading.Thread(target=self.link.loop)

    def end(self) -> None:
        self.link.cleanup()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def outcome(calls: str, *, is_persistent: bool) -> str:
    """What becomes of the messages of a process that sends them and ends."""
    storage = MemoryQueuesStorage()
    alice, bob = Stack("alice", storage), Stack("bob")
    connected, has_window = threading.Event(), threading.Event()
    processed: list[bytes] = []
    arrived = 0

    def on_message_recv(_conn_id: str, _ident: str, message: Message) -> None:
        nonlocal arrived
        arrived += 1
        if "drain" in calls:
            processed.append(message.data)
            bob.messaging.ack(message)
        elif arrived == WINDOW:
            has_window.set()

    bob.messaging.on_message_recv.add(on_message_recv)
    alice.messaging.on_connect.add(lambda *_: connected.set())
    alice.link.add_connector(bob.link.add_listener(("127.0.0.1", 0)))
    alice.thread.start()
    bob.thread.start()
    try:
        assert connected.wait(PATIENCE)
        for _ in range(COUNT):
            flags = FLAG_PERSISTENT if is_persistent else 0
            alice.messaging.send_message("bob", Message(b"x", ttl=None, flags=flags))
        if "drain" in calls:
            assert alice.messaging.drain(PATIENCE) == 0
        else:
            assert has_window.wait(PATIENCE)
    finally:
        alice.end()
        bob.end()
    if len(processed) == COUNT:
        return "all are processed"
    assert arrived == WINDOW
    if storage.count("bob") == COUNT:
        return "what is not acknowledged waits in the storage"
    return "those beyond the peer's window are lost"


@pytest.mark.parametrize(("calls", "transient", "persistent"), ROWS)
def test_messages_fare_at_the_end_as_the_page_says(
    calls: str, transient: str, persistent: str
) -> None:
    assert outcome(calls, is_persistent=False) == transient
    assert outcome(calls, is_persistent=True) == persistent
