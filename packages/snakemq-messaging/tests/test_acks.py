"""An ack says that messages are processed: when it is sent, and what the sender hears of it."""

from __future__ import annotations

import struct

import pytest
from memory_peers import VERSION, MakePeer, MakeRawPeer, Peer, RawPeer, features, identification
from memory_peers import message as message_frame

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging._incoming._acks import ACK_DELAY

ACKS = 1
"""The feature bit."""

ACK = 17


def acks(peer: RawPeer) -> list[int]:
    """The numbers in the acks that a peer has heard."""
    return [struct.unpack("!BQ", frame)[1] for frame in peer.frames if frame[0] == ACK]


def ack(count: int) -> bytes:
    return struct.pack("!BQ", ACK, count)


@pytest.fixture
def sender(raw: MakeRawPeer) -> RawPeer:
    return raw("sender")


def join(raw: RawPeer, peer: Peer, ident: str = "raw") -> None:
    """Connect and introduce oneself, like a 2.x peer."""
    raw.connect(peer)
    raw.say(VERSION, features(bits=ACKS), identification(ident))


def batch(count: int, ttl: int = 60, size: int = 0, begin: int = 0) -> list[bytes]:
    return [
        message_frame(b"x" * size, b"%016d" % number, ttl) for number in range(begin, begin + count)
    ]


def delivered_to(peer: Peer) -> list[tuple[str, str, bytes]]:
    """What ``on_message_delivered`` of a peer is told from now on."""
    told: list[tuple[str, str, bytes]] = []
    peer.messaging.on_message_delivered.add(lambda *args: told.append(args))
    return told


# -- what the sender hears


def test_each_message_is_reported_as_delivered_once_and_in_order(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    delivered = delivered_to(alice)
    at_alice, _ = alice.connect(bob)
    uuids = [alice.send("bob", b"%d" % n, ttl=None) for n in range(100)]
    network.run_until_idle()
    assert delivered == [(at_alice, "bob", uuid) for uuid in uuids]
    network.disconnect(at_alice)
    alice.connect(bob)
    network.advance(60)
    assert len(delivered) == 100


def test_no_message_is_reported_as_delivered_before_its_ack(alice: Peer, sender: RawPeer) -> None:
    delivered = delivered_to(alice)
    sender.connect(alice)
    wide = struct.pack("!BHIQIII", 16, 1, ACKS, 0, 100, 100_000, 0xFFFFFFFF)
    sender.say(VERSION, wide, identification("raw"))
    uuids = [alice.send("raw", b"%d" % n, ttl=None) for n in range(3)]
    alice.network.advance(60)
    assert [uuid for _, _, uuid in alice.sent] == uuids
    assert delivered == []
    sender.say(ack(2))
    assert [uuid for _, _, uuid in delivered] == uuids[:2]
    sender.say(ack(2))  # says nothing new
    assert len(delivered) == 2
    sender.say(ack(3))
    assert [uuid for _, _, uuid in delivered] == uuids


@pytest.mark.parametrize("seed", range(20))
def test_a_message_is_reported_as_sent_before_delivered(seed: int) -> None:
    network = MemoryNetwork(seed)
    alice, bob = Peer(network, "alice"), Peer(network, "bob")
    told: dict[bytes, list[str]] = {}
    alice.messaging.on_message_sent.add(lambda _c, _i, uuid: told.setdefault(uuid, []).append("s"))
    alice.messaging.on_message_delivered.add(
        lambda _c, _i, uuid: told.setdefault(uuid, []).append("d")
    )
    alice.connect(bob)
    for n in range(50):
        alice.send("bob", b"." * 10 * n, ttl=None)
    network.advance(60)
    assert list(told.values()) == [["s", "d"]] * 50


def test_1_6_peer_acknowledges_nothing(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    delivered = delivered_to(alice)
    old = raw()
    old.join(alice, "old")
    alice.send("old", b"data", ttl=None)
    old.say(ack(1))  # an unknown frame to a peer without the feature
    network.advance(60)
    assert (len(alice.sent), delivered) == (1, [])
    assert alice.errors == []
    assert alice.messaging.stats().peers["old"].in_flight == 0


def test_1_6_peer_is_sent_no_ack(network: MemoryNetwork, bob: Peer, sender: RawPeer) -> None:
    sender.join(bob, "old", *batch(10), *batch(10, ttl=0))
    network.advance(60)
    assert len(bob.received) == 20
    assert acks(sender) == []


def test_callback_of_delivered_may_close_the_connection(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    delivered = delivered_to(alice)

    def close(conn_id: str, ident: str, uuid: bytes) -> None:
        if conn_id in alice.link.connections:
            alice.link.close(conn_id)

    alice.messaging.on_message_delivered.add(close)
    alice.connect(bob)
    for n in range(10):
        alice.send("bob", b"%d" % n, ttl=None)
    network.advance(60)
    alice.connect(bob)
    network.advance(60)
    assert len(delivered) == 10
    assert bob.heard == [b"%d" % n for n in range(10)]


# -- when it is sent


def test_ack_comes_after_all_callbacks_have_returned(
    network: MemoryNetwork, bob: Peer, sender: RawPeer
) -> None:
    seen: list[int] = []

    def look(conn_id: str, ident: str, message: Message) -> None:
        seen.append(len(acks(sender)) + bob.packeter.get_unsent_size(conn_id))

    bob.messaging.on_message_recv.add(look)
    join(sender, bob)
    sender.say(*batch(3))
    assert seen == [0, 0, 0]  # neither sent nor on its way
    assert acks(sender) == [3]


def test_one_ack_for_a_batch_of_messages(bob: Peer, sender: RawPeer) -> None:
    join(sender, bob)
    sender.say(*batch(100))
    sender.say(*batch(50, begin=100))
    assert acks(sender) == [100, 150]


def test_ack_of_messages_with_ttl_0_is_lazy(
    network: MemoryNetwork, bob: Peer, sender: RawPeer
) -> None:
    join(sender, bob)
    sender.say(*batch(10, ttl=0))
    network.advance(ACK_DELAY * 0.9)
    assert acks(sender) == []
    network.advance(ACK_DELAY * 0.2)
    assert acks(sender) == [10]
    network.advance(60)
    assert acks(sender) == [10]


@pytest.mark.parametrize(
    ("options", "size"), [({"window_messages": 40}, 0), ({"window_bytes": 4000}, 100)]
)
def test_lazy_ack_comes_with_a_quarter_of_the_window(
    peer: MakePeer, sender: RawPeer, options: dict[str, int], size: int
) -> None:
    bob = peer("bob", **options)
    join(sender, bob)
    sender.say(*batch(9, ttl=0, size=size))
    assert acks(sender) == []
    sender.say(*batch(1, ttl=0, size=size, begin=9))
    assert acks(sender) == [10]


def test_message_that_must_be_kept_until_the_ack_brings_it_at_once(
    network: MemoryNetwork, bob: Peer, sender: RawPeer
) -> None:
    join(sender, bob)
    sender.say(*batch(5, ttl=0))
    assert acks(sender) == []
    sender.say(*batch(1, begin=5))
    assert acks(sender) == [6]
    network.advance(60)
    assert acks(sender) == [6]  # the timer of the lazy one has nothing left to say


def test_remote_call_and_its_reply_cost_no_ack(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    """One frame each way for as long as they go on within the delay."""
    bob.messaging.on_message_recv.add(
        lambda _conn_id, ident, _message: bob.messaging.send_message(ident, Message(b"reply"))
    )
    alice.connect(bob)
    begin = len(network.trace)
    alice.send("bob", b"call", ttl=0)
    network.advance(ACK_DELAY * 0.9)
    assert alice.heard == [b"reply"]
    received = [event for event in network.trace[begin:] if event.event == "recv"]
    assert len(received) == 2


def test_acks_do_not_pile_up_for_a_peer_that_does_not_read(
    network: MemoryNetwork, bob: Peer, sender: RawPeer
) -> None:
    """The next one is due when the last one was taken over."""
    conn_id = sender.connect(bob)
    sender.say(VERSION, features(bits=ACKS), identification("raw"))
    network.stall(conn_id)
    for n in range(100):
        sender.say(*batch(1, begin=n))
    assert bob.packeter.get_unsent_size(conn_id) < 50
    network.unstall(conn_id)
    network.run_until_idle()
    assert acks(sender)[-1] == 100
    assert len(acks(sender)) <= 3


def test_counting_begins_anew_with_each_connection(
    network: MemoryNetwork, bob: Peer, sender: RawPeer
) -> None:
    for n in range(3):
        join(sender, bob)
        sender.say(*batch(4, begin=4 * n))
        network.disconnect(sender.conn_id)
        network.run_until_idle()
    assert acks(sender) == [4, 4, 4]
