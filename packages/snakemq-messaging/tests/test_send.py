"""send_message: what it takes, when it may be called, and in which order things arrive."""

from __future__ import annotations

from typing import Any

import pytest
from memory_peers import MakePeer, MakeRawPeer, Peer, RawPeer, features, identification, message

from snakemq.exceptions import SnakeMQMessageTooLarge
from snakemq.link.testing import MemoryNetwork, random_pieces
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.queues import MemoryQueuesStorage

HEADER = 25
"""Size of a message frame without data."""


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_message_arrives_as_it_was_sent(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    _, at_bob = alice.connect(bob)
    sent = Message(b"\0data\xff", ttl=60, flags=0x80000001, uuid=bytes(range(16)))
    alice.messaging.send_message("bob", sent)
    network.run_until_idle()
    ((conn_id, ident, received),) = bob.received
    assert (conn_id, ident) == (at_bob, "alice")
    assert (received.data, received.ttl, received.flags) == (b"\0data\xff", 60, 0x80000001)
    assert received.uuid == bytes(range(16))


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 1_000_000, 20_000_000])
def test_messages_of_any_size_arrive(
    network: MemoryNetwork, alice: Peer, bob: Peer, size: int
) -> None:
    alice.connect(bob)
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    alice.send("bob", data)
    alice.send("bob", b"behind it")
    network.run_until_idle()
    assert sorted(bob.heard) == sorted([data, b"behind it"])


def test_send_message_returns_the_uuid(network: MemoryNetwork, alice: Peer) -> None:
    mine = Message(b"")
    assert alice.messaging.send_message("bob", mine) == mine.uuid


def test_same_object_sent_again_is_another_message(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    greeting = Message(b"hello", ttl=None)
    uuids = [alice.messaging.send_message("bob", greeting) for _ in range(3)]
    network.run_until_idle()
    assert bob.heard == [b"hello"] * 3
    assert [m.uuid for _, _, m in bob.received] == uuids
    assert len(set(uuids)) == 3


def test_same_object_may_go_to_several_peers(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer
) -> None:
    carol = peer("carol")
    alice.connect(bob)
    alice.connect(carol)
    news = Message(b"news", ttl=60)
    alice.messaging.send_message("bob", news)
    alice.messaging.send_message("carol", news)
    network.run_until_idle()
    assert bob.heard == carol.heard == [b"news"]


@pytest.mark.parametrize(
    ("ident", "error"),
    [
        ("x" * 51, ValueError),
        ("\udfff", ValueError),
        (b"bob", TypeError),
        (None, TypeError),
        (5, TypeError),
    ],
)
def test_wrong_ident_is_refused_and_nothing_is_queued(
    network: MemoryNetwork, peer: MakePeer, ident: Any, error: type[Exception]
) -> None:
    storage = MemoryQueuesStorage()
    alice = peer("alice", storage)
    with pytest.raises(error):
        alice.messaging.send_message(ident, Message(b"", 5, FLAG_PERSISTENT))
    assert storage.get_queues() == []
    network.advance(10)
    assert alice.dropped == []


@pytest.mark.parametrize("wrong", [b"data", "text", None, 5, object()])
def test_what_is_not_a_message_is_refused_and_nothing_is_queued(
    network: MemoryNetwork, alice: Peer, bob: Peer, wrong: Any
) -> None:
    alice.connect(bob)
    with pytest.raises(TypeError, match="message"):
        alice.messaging.send_message("bob", wrong)
    network.run_until_idle()
    assert bob.received == []


def test_ident_of_50_characters_is_not_too_long(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    ident = "ä" * 50
    far = peer(ident)
    alice.connect(far)
    alice.send(ident, b"hello")
    network.run_until_idle()
    assert far.heard == [b"hello"]


def test_200_000_messages_between_two_passes_of_the_loop(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    """1.6 blocks forever in the 65,537th call."""
    alice.connect(bob)
    send, count = alice.messaging.send_message, 200_000
    for number in range(count):
        send("bob", Message(b"%d" % number, None))
    network.run_until(lambda: len(bob.received) == count)
    assert bob.heard == numbers(count)


def test_order_is_kept_however_the_stream_is_cut() -> None:
    for seed in range(10):
        network = MemoryNetwork(seed, send_cut=random_pieces, recv_cut=random_pieces)
        alice, bob = Peer(network, "alice"), Peer(network, "bob")
        for number in range(500):
            alice.send("bob", b"%d" % number)
            if number == 250:
                alice.connect(bob)
        network.run_until_idle()
        assert bob.heard == numbers(500)


def test_messages_for_an_absent_peer_wait_for_it_in_order(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    for data in numbers(100):
        alice.send("bob", data, ttl=60)
    network.advance(59)
    alice.connect(bob)
    assert bob.heard == numbers(100)
    assert alice.dropped == []


def test_order_is_kept_across_reconnections(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    for part in range(10):
        at_alice, _ = alice.connect(bob)
        for number in range(20):
            alice.send("bob", b"%d" % (part * 20 + number))
            if number == 10:
                network.run_until_idle()
        network.disconnect(at_alice)
        network.run_until_idle()
    alice.connect(bob)
    assert bob.heard == numbers(200)


@pytest.mark.parametrize("size", [1, 30, 100, 1000, 10_000, 20_000])
def test_what_is_under_way_when_the_connection_breaks_is_sent_again_in_order(
    network: MemoryNetwork, alice: Peer, bob: Peer, size: int
) -> None:
    at_alice, _ = alice.connect(bob)
    network.reset_after(at_alice, size)
    for data in numbers(1000):
        alice.send("bob", data, ttl=60)
    network.run_until_idle()
    assert len(bob.disconnected) == 1
    assert len(bob.received) < 1000
    alice.connect(bob)
    assert bob.heard == numbers(1000)
    assert alice.dropped == []


def test_what_was_not_given_to_the_system_is_sent_again_to_1_6(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    old = raw("first")
    at_alice = old.join(alice, "old")
    network.stall(at_alice)
    for data in numbers(100):
        alice.send("old", data)
    network.run_until_idle()
    network.disconnect(at_alice)
    network.run_until_idle()
    assert old.heard == []
    back = raw("second")
    back.join(alice, "old")
    assert back.heard == numbers(100)


def test_deep_backlog_of_one_peer_does_not_hold_up_another(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer
) -> None:
    carol = peer("carol")
    alice.connect(bob)
    alice.connect(carol)
    for _ in range(20_000):
        alice.send("bob", b"x" * 1000)
    alice.send("carol", b"quick")
    network.run_until(lambda: bool(carol.received))
    assert len(bob.received) < 5_000
    network.run_until_idle()
    assert len(bob.received) == 20_000


def test_large_message_to_one_peer_does_not_hold_up_another(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer
) -> None:
    carol = peer("carol")
    alice.connect(bob)
    alice.connect(carol)
    alice.send("bob", b"x" * 30_000_000)
    alice.send("carol", b"quick")
    network.run_until(lambda: bool(carol.received))
    assert bob.received == []


def test_peer_that_does_not_read_holds_up_nobody_and_no_memory(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer
) -> None:
    carol = peer("carol")
    at_alice, at_bob = alice.connect(bob)
    alice.connect(carol)
    bob.link.pause_reading(at_bob)
    for number in range(5_000):
        alice.send("bob", b"x" * 1000)
        alice.send("carol", b"%d" % number)
    network.run_until_idle()
    assert carol.heard == numbers(5_000)
    assert bob.received == []
    assert alice.packeter.get_unsent_size(at_alice) < 1_000_000
    bob.link.resume_reading(at_bob)
    network.run_until_idle()
    assert len(bob.received) == 5_000


def test_message_with_ttl_0_that_is_too_large_is_dropped_and_reported(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    small = peer("small", max_packet_size=1000)
    at_alice, _ = alice.connect(small)
    alice.send("small", b"before")
    fits = b"x" * (1000 - HEADER)
    alice.send("small", fits)
    too_large = alice.send("small", fits + b"x", ttl=0)
    alice.send("small", b"after")
    network.run_until_idle()
    assert small.heard == [b"before", fits, b"after"]
    assert alice.dropped == [("small", too_large)]
    assert [conn_id for conn_id, _ in alice.errors] == [at_alice]
    assert alice.kinds_of_errors == [SnakeMQMessageTooLarge]
    network.advance(60)
    assert alice.disconnected == []


def test_on_error_may_close_the_connection_for_a_message_too_large(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    small = peer("small", max_packet_size=1000)
    alice.connect(small)

    def close(conn_id: str | None, exc: Exception) -> None:
        assert conn_id is not None
        if conn_id in alice.link.connections:
            alice.link.close(conn_id)

    alice.messaging.on_error.add(close)
    alice.send("small", b"before")
    alice.send("small", b"x" * 1000)
    dropped = alice.send("small", b"x" * 1000, ttl=0)
    alice.send("small", b"after")
    network.run_until_idle()
    while small.heard[-1:] != [b"after"] and len(alice.connected) < 5:
        alice.connect(small)
    assert small.heard == [b"before", b"after"]
    assert alice.dropped == [("small", dropped)]


def test_a_peer_that_says_no_limit_gets_everything(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    old: RawPeer = raw()
    old.join(alice, "old")
    alice.send("old", b"x" * 3_000_000)
    network.run_until_idle()
    assert len(old.heard[0]) == 3_000_000


def test_limit_of_features_without_acks_holds_too(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    some = raw()
    some.connect(alice)
    some.say(features(max_packet_size=100), identification("some"))
    uuid = alice.send("some", b"x" * 76, ttl=0)
    alice.send("some", b"y" * 75)
    network.run_until_idle()
    assert some.heard == [b"y" * 75]
    assert alice.dropped == [("some", uuid)]


def test_received_frames_of_a_closed_connection_are_not_delivered(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    """They came in one piece with the message that made the application close."""

    def close(conn_id: str, ident: str, message: Message) -> None:
        alice.link.close(conn_id)

    alice.messaging.on_message_recv.add(close)
    stranger = raw()
    stranger.join(alice, "bob", message(b"enough"), message(b"more"), b"\3")
    assert alice.heard == [b"enough"]
    assert alice.errors == []
