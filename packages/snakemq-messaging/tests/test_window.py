"""No more than a window is under way to a receiver that does not keep up."""

from __future__ import annotations

import struct

import pytest
from memory_peers import VERSION, MakePeer, MakeRawPeer, Peer, features, identification, message

from snakemq.exceptions import SnakeMQFlood
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging._wire import _conversation
from snakemq.queues import MemoryQueuesStorage

ACKS = 1
"""The feature bit."""
HUGE_WINDOW = struct.pack("!BHIQIII", 16, 1, ACKS, 7, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)


def ack(processed: int) -> bytes:
    return struct.pack("!BQ", 17, processed)


def test_window_of_messages(network: MemoryNetwork, alice: Peer, peer: MakePeer) -> None:
    slow = peer("slow", manual_ack=True, window_messages=10)
    alice.connect(slow)
    for number in range(25):
        alice.send("slow", b"%d" % number)
    network.advance(60)
    for count in (10, 20):
        assert len(slow.received) == count
        for _, _, received in slow.received[-10:]:
            slow.messaging.ack(received)
        network.advance(1)
    assert slow.heard == [b"%d" % number for number in range(25)]


def test_window_of_bytes(network: MemoryNetwork, alice: Peer, peer: MakePeer) -> None:
    slow = peer("slow", manual_ack=True, window_bytes=1000)
    alice.connect(slow)
    for _ in range(25):
        alice.send("slow", b"x" * 100)
    network.advance(60)
    assert len(slow.received) == 10
    for _, _, received in slow.received[:5]:
        slow.messaging.ack(received)
    network.advance(60)
    assert len(slow.received) == 15


def test_one_message_may_be_larger_than_the_window(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    small = peer("small", window_bytes=1000)
    alice.connect(small)
    for _ in range(3):
        alice.send("small", b"x" * 5000)
    network.advance(60)
    assert len(small.received) == 3


@pytest.mark.parametrize("name", ["MAX_IN_FLIGHT_MESSAGES", "MAX_IN_FLIGHT_BYTES"])
@pytest.mark.parametrize("flags", [0, FLAG_PERSISTENT])
def test_a_huge_window_does_not_bring_the_whole_backlog_into_memory(
    monkeypatch: pytest.MonkeyPatch, peer: MakePeer, raw: MakeRawPeer, name: str, flags: int
) -> None:
    monkeypatch.setattr(_conversation, name, 10)
    storing = peer("storing", MemoryQueuesStorage())
    for _ in range(25):
        storing.send("bob", b"x", flags=flags)
    bob = raw()
    bob.connect(storing)
    bob.say(VERSION, HUGE_WINDOW, identification("bob"))
    for _ in range(25):
        storing.messaging.send_message("bob", Message(b"x", None, flags), urgent=True)
    bob.network.advance(60)
    assert len(bob.messages) == 10
    assert storing.messaging.stats().peers["bob"].in_flight == 10
    bob.say(ack(7))
    assert len(bob.messages) == 17


def test_a_slow_peer_does_not_hold_up_the_others(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer
) -> None:
    slow = peer("slow", manual_ack=True, window_messages=1)
    alice.connect(slow)
    alice.connect(bob)
    for _ in range(100):
        alice.send("slow")
        alice.send("bob")
    network.advance(60)
    assert (len(slow.received), len(bob.received)) == (1, 100)


@pytest.mark.parametrize(
    ("options", "size"), [({"window_messages": 10}, 0), ({"window_bytes": 1000}, 100)]
)
def test_peer_that_does_not_keep_to_the_window_is_turned_away(
    raw: MakeRawPeer, peer: MakePeer, options: dict[str, int], size: int
) -> None:
    slow, flooding = peer("slow", manual_ack=True, **options), raw()
    flooding.connect(slow)
    flooding.say(VERSION, features(bits=ACKS), identification("flooding"))
    for number in range(10):
        flooding.say(message(b"x" * size, uuid=b"%016d" % number))
    assert flooding.is_connected
    flooding.say(message(b"x" * size, uuid=b"%016d" % 10))
    assert not flooding.is_connected
    assert slow.kinds_of_errors == [SnakeMQFlood]
    assert len(slow.received) == 10


def test_sender_refuses_acks_of_messages_that_it_did_not_send(
    raw: MakeRawPeer, alice: Peer
) -> None:
    liar = raw()
    liar.connect(alice)
    liar.say(VERSION, features(bits=ACKS), identification("liar"))
    alice.send("liar", b"one")
    alice.network.run_until_idle()
    liar.say(bytes.fromhex("11 0000000000000002"))
    assert not liar.is_connected
    assert len(alice.errors) == 1
    alice.network.advance(60)
    assert alice.dropped == []  # it still waits
