"""A connection from the past, which the simulation leaves out: see ``faults.py``."""

from __future__ import annotations

import pytest

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter


@pytest.mark.xfail(
    strict=True, reason="a connection is admitted by what its peer said long ago, not by an answer"
)
def test_messages_of_a_connection_that_its_peer_has_given_up_do_not_come() -> None:
    """The first connection is slow to arrive, its peer makes a second one and then is killed."""
    network = MemoryNetwork()
    sender, receiver = network.link("sender"), network.link("receiver")
    messaging = Messaging("sender", "", Packeter(sender))
    received: list[bytes] = []
    other = Messaging("receiver", "", Packeter(receiver), window_messages=1)
    other.on_message_recv.add(lambda _conn_id, _ident, message: received.append(message.data))

    first, first_there = network.connect(sender, receiver)
    while not receiver.connections:  # nothing that is sent has arrived yet
        network.run_passes(1)
    receiver.pause_reading(first_there)
    messaging.send_message("receiver", Message(b"0", ttl=None))
    network.run_until_idle()
    sender.close(first)
    network.connect(sender, receiver)
    for number in range(1, 6):
        messaging.send_message("receiver", Message(b"%d" % number, ttl=None))
    network.run_until_idle()
    assert received == [b"0", b"1", b"2", b"3", b"4", b"5"]
    network.crash(sender)
    network.run_until_idle()
    receiver.resume_reading(first_there)
    network.advance(60)
    assert received == [b"0", b"1", b"2", b"3", b"4", b"5"]
