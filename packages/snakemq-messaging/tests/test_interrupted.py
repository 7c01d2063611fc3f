"""Ctrl-C in a callback, and then the loop is entered again, as in an interactive session."""

from __future__ import annotations

import threading

import pytest

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter


def test_interrupted_message_is_processed_when_the_loop_runs_again() -> None:
    here, there = Link(), Link()
    receiver = Messaging("receiver", "", Packeter(here))
    sender = Messaging("sender", "", Packeter(there))
    there.add_connector(here.add_listener(("127.0.0.1", 0)))
    processed: list[bytes] = []
    interruptions = [b"0", b"3"]

    def process(conn_id: str, ident: str, message: Message) -> None:
        if message.data in interruptions:
            interruptions.remove(message.data)
            raise KeyboardInterrupt
        processed.append(message.data)
        if len(processed) == 5:
            here.stop()

    receiver.on_message_recv.add(process)
    for number in range(5):
        sender.send_message("receiver", Message(b"%d" % number, ttl=60))
    loop = threading.Thread(target=there.loop)
    loop.start()
    try:
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                here.loop(runtime=10)
        here.loop(runtime=10)
    finally:
        there.stop()
        loop.join(10)
        here.cleanup()
        there.cleanup()
    assert processed == [b"0", b"1", b"2", b"3", b"4"]
