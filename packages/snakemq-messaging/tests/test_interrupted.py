"""Ctrl-C in a callback, and then the loop is entered again, as in an interactive session."""

from __future__ import annotations

import threading

import pytest
from memory_peers import MakePeer, Peer

from snakemq.link import Link
from snakemq.link.testing import MemoryLink, MemoryNetwork
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


def test_interrupted_message_that_waits_for_an_ack_is_offered_again(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = Messaging("bob", "", Packeter(network.link("bob")), manual_ack=True)
    offered: list[Message] = []

    def interrupted(conn_id: str, ident: str, message: Message) -> None:
        offered.append(message)
        if len(offered) == 1:
            raise KeyboardInterrupt

    bob.on_message_recv.add(interrupted)
    link = bob.packeter.link
    assert isinstance(link, MemoryLink)
    network.connect(alice.link, link)
    alice.send("bob", b"important")
    with pytest.raises(KeyboardInterrupt):
        network.run_until_idle()
    network.run_until_idle()
    network.connect(alice.link, link)
    network.run_until_idle()
    assert [message.data for message in offered] == [b"important"] * 2
    bob.ack(offered[1])
    network.run_until_idle()
    assert alice.messaging.stats().peers["bob"].delivered == 1


def test_interrupted_second_offer_is_made_once_more(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    offers: list[bytes] = []

    def first_fails_then_interrupted(conn_id: str, ident: str, message: Message) -> None:
        offers.append(message.data)
        if len(offers) == 1:
            raise ValueError
        if len(offers) == 2:
            raise KeyboardInterrupt

    bob.messaging.on_message_recv.add(first_fails_then_interrupted)
    alice.send("bob", b"important")
    with pytest.raises(KeyboardInterrupt):
        network.advance(10)
    network.advance(10)
    assert len(offers) == 3
    assert alice.messaging.stats().peers["bob"].delivered == 1
