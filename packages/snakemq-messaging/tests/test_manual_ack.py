"""The application says when a message is processed: any time later, in any order, from anywhere."""

from __future__ import annotations

import pytest
from memory_peers import VERSION, MakePeer, MakeRawPeer, Peer, features, identification
from memory_peers import message as message_frame

from snakemq.exceptions import SnakeMQFlood
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging._incoming._inboxes import MAX_ABSENT_INBOXES


@pytest.fixture
def bob(peer: MakePeer) -> Peer:
    return peer("bob", manual_ack=True)


def delivered_to(peer: Peer) -> list[bytes]:
    told: list[bytes] = []
    peer.messaging.on_message_delivered.add(lambda _c, _i, uuid: told.append(uuid))
    return told


def messages_of(peer: Peer) -> list[Message]:
    return [message for _, _, message in peer.received]


def test_message_is_delivered_when_the_application_says_so(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    delivered = delivered_to(alice)
    alice.connect(bob)
    uuid = alice.send("bob", b"data", ttl=None)
    network.advance(3600)
    assert delivered == []
    bob.messaging.ack(messages_of(bob)[0])
    network.run_until_idle()
    assert delivered == [uuid]


def test_order_of_acks_does_not_matter(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    delivered = delivered_to(alice)
    alice.connect(bob)
    uuids = [alice.send("bob", b"%d" % n, ttl=None) for n in range(5)]
    network.run_until_idle()
    messages = messages_of(bob)
    for number, expected in [(1, 0), (4, 0), (0, 2), (3, 2), (2, 5)]:
        bob.messaging.ack(messages[number])
        network.run_until_idle()
        assert delivered == uuids[:expected]


def test_message_can_be_acknowledged_within_the_callback(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    bob.messaging.on_message_recv.add(lambda _c, _i, message: bob.messaging.ack(message))
    delivered = delivered_to(alice)
    alice.connect(bob)
    uuids = [alice.send("bob", b"%d" % n, ttl=None) for n in range(5)]
    network.run_until_idle()
    assert delivered == uuids


@pytest.mark.parametrize("max_attempts", [1, 3])
def test_callback_that_raises_after_its_ack_is_not_called_again(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, max_attempts: int
) -> None:
    bob = peer("bob", manual_ack=True, max_attempts=max_attempts)
    rejected: list[Message] = []
    bob.messaging.on_message_reject.add(lambda _c, _i, message: rejected.append(message))

    def process(conn_id: str, ident: str, message: Message) -> None:
        bob.messaging.ack(message)
        raise ValueError("after that")

    bob.messaging.on_message_recv.add(process)
    delivered = delivered_to(alice)
    alice.connect(bob)
    uuid = alice.send("bob", b"data", ttl=None)
    network.advance(60)
    assert (bob.heard, delivered, rejected) == ([b"data"], [uuid], [])
    assert bob.kinds_of_errors == [ValueError]


def test_callback_that_raises_is_offered_the_message_again(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    failures = [ValueError("once")]

    def process(conn_id: str, ident: str, message: Message) -> None:
        if failures:
            raise failures.pop()

    bob.messaging.on_message_recv.add(process)
    delivered = delivered_to(alice)
    alice.connect(bob)
    uuid = alice.send("bob", b"data", ttl=None)
    network.advance(60)
    assert bob.heard == [b"data", b"data"]
    assert delivered == []
    bob.messaging.ack(messages_of(bob)[1])
    network.run_until_idle()
    assert delivered == [uuid]


def test_rejected_message_waits_for_no_ack(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    def fail(*_: object) -> None:
        raise ValueError

    bob.messaging.on_message_recv.add(fail)
    delivered = delivered_to(alice)
    alice.connect(bob)
    uuid = alice.send("bob", b"data", ttl=None)
    network.advance(60)
    assert (delivered, alice.dropped) == ([], [("bob", uuid)])
    with pytest.raises(ValueError, match="does not wait for an ack"):
        bob.messaging.ack(messages_of(bob)[0])


# -- connections come and go


def test_ack_while_the_sender_is_away_counts_when_it_comes_back(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    delivered = delivered_to(alice)
    at_alice, _ = alice.connect(bob)
    uuids = [alice.send("bob", b"%d" % n, ttl=None) for n in range(3)]
    network.run_until_idle()
    network.disconnect(at_alice)
    network.run_until_idle()
    for message in messages_of(bob)[:2]:
        bob.messaging.ack(message)
    network.advance(60)
    alice.connect(bob)
    network.advance(60)
    assert delivered == uuids[:2]
    assert bob.heard == [b"0", b"1", b"2"]  # nothing is offered twice


def test_ack_on_a_later_connection(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    delivered = delivered_to(alice)
    uuids: list[bytes] = []
    for _ in range(3):
        at_alice, _ = alice.connect(bob)
        uuids.append(alice.send("bob", b"data", ttl=None))
        network.run_until_idle()
        network.disconnect(at_alice)
        network.run_until_idle()
    alice.connect(bob)
    assert len(bob.received) == 3
    for message in messages_of(bob):
        bob.messaging.ack(message)
    network.run_until_idle()
    assert delivered == uuids


def test_ack_of_a_message_with_ttl_0_and_of_a_1_6_peer(
    network: MemoryNetwork, alice: Peer, bob: Peer, raw: MakeRawPeer
) -> None:
    old = raw()
    old.join(bob, "old", message_frame(b"from 1.6"))
    at_alice, _ = alice.connect(bob)
    alice.send("bob", b"with ttl 0", ttl=0)
    network.run_until_idle()
    network.disconnect(at_alice)
    network.disconnect(old.conn_id)
    network.run_until_idle()
    for message in messages_of(bob):
        bob.messaging.ack(message)
    network.run_until_idle()
    assert len(bob.received) == 2
    assert bob.errors == []


# -- calls of ack that are refused


def test_second_ack_is_refused_at_once(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    alice.send("bob", b"data", ttl=None)
    network.run_until_idle()
    (message,) = messages_of(bob)
    bob.messaging.ack(message)
    for _ in range(2):  # before and after the loop has heard of the first one
        with pytest.raises(ValueError, match="does not wait for an ack"):
            bob.messaging.ack(message)
        network.run_until_idle()


def test_ack_of_an_unknown_message(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    alice.send("bob", b"data", ttl=None)
    network.run_until_idle()
    (message,) = messages_of(bob)
    equal = Message(message.data, message.ttl, message.flags, message.uuid)
    with pytest.raises(ValueError, match="does not wait for an ack"):
        bob.messaging.ack(equal)


def test_ack_is_refused_without_manual_ack(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    bob.send("alice", b"data", ttl=None)
    network.run_until_idle()
    with pytest.raises(ValueError, match="manual_ack"):
        alice.messaging.ack(messages_of(alice)[0])


# -- bounds


@pytest.mark.parametrize(
    ("options", "size", "ttl"),
    [
        ({"window_messages": 10}, 0, 60),
        ({"window_messages": 10}, 0, 0),
        ({"window_bytes": 1000}, 100, 60),
    ],
)
def test_peer_that_comes_again_and_again_fills_two_windows_at_most(
    network: MemoryNetwork,
    raw: MakeRawPeer,
    peer: MakePeer,
    options: dict[str, int],
    size: int,
    ttl: int,
) -> None:
    slow, flooding = peer("slow", manual_ack=True, **options), raw()
    uuids = (b"%016d" % n for n in range(1000))
    for _ in range(10):
        flooding.connect(slow)
        flooding.say(VERSION, features(bits=1), identification("flooding"))
        flooding.say(*(message_frame(b"x" * size, next(uuids), ttl) for _ in range(10)))
        if flooding.is_connected:
            network.disconnect(flooding.conn_id)
            network.run_until_idle()
    assert len(slow.received) == 20
    assert slow.kinds_of_errors == [SnakeMQFlood] * 8
    for message in messages_of(slow):
        slow.messaging.ack(message)
    flooding.connect(slow)
    flooding.say(VERSION, features(bits=1), identification("flooding"))
    flooding.say(*(message_frame(b"x" * size, next(uuids), ttl) for _ in range(10)))
    assert len(slow.received) == 30
    assert flooding.is_connected


def test_sender_that_is_turned_away_for_that_loses_nothing(
    network: MemoryNetwork, peer: MakePeer
) -> None:
    """Its messages expired under way, so it has others than those that wait over there."""
    slow, alice = peer("slow", manual_ack=True, window_messages=5), peer("alice")
    for _ in range(2):
        at_alice, _ = alice.connect(slow)
        for n in range(5):
            alice.send("slow", b"mortal %d" % n, ttl=10)
        network.run_until_idle()
        network.partition(alice.link, slow.link)
        network.advance(20)
        network.disconnect(at_alice)
        network.run_until_idle()
        network.heal(alice.link, slow.link)
    assert len(alice.dropped) == 10
    lasting = [alice.send("slow", b"lasting %d" % n, ttl=None) for n in range(5)]
    network.keep_connected(alice.link, "slow", interval=1.0)
    network.advance(10)
    assert len(slow.received) == 10
    assert SnakeMQFlood in slow.kinds_of_errors
    for message in messages_of(slow):
        slow.messaging.ack(message)
    network.advance(10)
    assert [message.uuid for message in messages_of(slow)[10:]] == lasting


def test_ack_long_after_many_others_have_come_and_gone(
    network: MemoryNetwork, alice: Peer, bob: Peer, raw: MakeRawPeer
) -> None:
    """What is known of absent peers is bounded, but not before their messages are processed."""
    delivered = delivered_to(alice)
    at_alice, _ = alice.connect(bob)
    uuid = alice.send("bob", b"data", ttl=None)
    alice.send("bob", b"with ttl 0", ttl=0)
    network.run_until_idle()
    network.disconnect(at_alice)
    visitor = raw()
    for n in range(MAX_ABSENT_INBOXES + 10):
        visitor.connect(bob)
        visitor.say(VERSION, features(bits=1), identification(f"visitor {n}"))
        network.disconnect(visitor.conn_id)
    for message in messages_of(bob):
        bob.messaging.ack(message)
    network.run_until_idle()
    alice.connect(bob)
    network.run_until_idle()
    assert bob.heard == [b"data", b"with ttl 0"]
    assert delivered == [uuid]


def test_what_is_acknowledged_at_once_is_not_open_for_the_next_of_a_batch(
    network: MemoryNetwork, peer: MakePeer, raw: MakeRawPeer
) -> None:
    """A 1.6 peer with the smallest window would be refused again and again otherwise."""
    carol = peer("carol", manual_ack=True, window_messages=1, window_bytes=1)
    carol.messaging.on_message_recv.add(lambda _c, _i, message: carol.messaging.ack(message))
    stranger = raw()
    stranger.join(carol, "bob", *[message_frame(b"x" * 100)] * 3)
    assert len(carol.received) == 3
    assert carol.errors == []
