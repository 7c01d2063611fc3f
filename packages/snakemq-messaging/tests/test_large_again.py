"""Large messages that may have arrived before: nothing passes them, so that they are recognised."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from memory_peers import VERSION, MakePeer, MakeRawPeer, Peer, RawPeer, identification
from watched_storage import WatchedStorage

from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT
from snakemq.queues import MemoryQueuesStorage

DATA = bytes(150_000)
NUMBER = bytes.fromhex("14 0000000000000001")
ACK, CHUNK, ARRIVED = 17, 21, 28


def join(raw: RawPeer, peer: Peer, window_messages: int = 100) -> None:
    """Introduce itself as bob, a peer of 2.1 that has nothing of any message."""
    raw.connect(peer)
    features = struct.pack(
        "!BHIQIII", 16, 1, 0x9, 7, window_messages, 1 << 24, 1 << 30
    )  # it acknowledges, and takes chunks
    raw.say(VERSION, features, identification("bob"), NUMBER)


def arrived(raw: RawPeer) -> int:
    return sum(len(frame) - 21 for frame in raw.frames if frame[0] == CHUNK)


def take_all(raw: RawPeer) -> None:
    """Confirm chunks until no more come."""
    before = -1
    while arrived(raw) > before:
        before = arrived(raw)
        raw.say(struct.pack("!BQ", ARRIVED, before))


def acknowledge(raw: RawPeer, count: int) -> None:
    raw.say(struct.pack("!BQ", ACK, count))


def test_a_message_whose_ack_was_lost_is_not_passed(
    network: MemoryNetwork, raw: MakeRawPeer, alice: Peer
) -> None:
    first, second = raw("first"), raw("second")
    join(first, alice)
    alice.send("bob", DATA)
    network.run_until_idle()
    take_all(first)
    assert arrived(first) == len(DATA)
    network.disconnect(first.conn_id)
    network.run_until_idle()
    join(second, alice)
    alice.send("bob", b"small")
    network.run_until_idle()
    assert 0 < arrived(second) < len(DATA)
    assert second.heard == []
    take_all(second)
    assert second.heard == [b"small"]
    assert alice.messaging.stats().peers["bob"].resent == 1


def test_a_message_that_was_cut_off_before_its_end_is_passed(
    network: MemoryNetwork, raw: MakeRawPeer, alice: Peer
) -> None:
    first, second = raw("first"), raw("second")
    join(first, alice)
    alice.send("bob", DATA)
    network.run_until_idle()
    assert 0 < arrived(first) < len(DATA)
    network.disconnect(first.conn_id)
    network.run_until_idle()
    join(second, alice)
    alice.send("bob", b"small")
    network.run_until_idle()
    assert second.heard == [b"small"]


@pytest.mark.parametrize("make", [WatchedStorage, lambda _: MemoryQueuesStorage()])
def test_a_message_that_an_earlier_process_has_left_is_not_passed(
    network: MemoryNetwork,
    raw: MakeRawPeer,
    peer: MakePeer,
    make: Callable[[MemoryNetwork], MemoryQueuesStorage],
) -> None:
    storage = make(network)
    peer("alice", storage, name="alice before").send("bob", DATA, flags=FLAG_PERSISTENT)
    alice = peer("alice", storage)
    alice.send("bob", b"small")
    bob = raw()
    join(bob, alice)
    network.run_until_idle()
    assert 0 < arrived(bob) < len(DATA)
    assert bob.heard == []
    take_all(bob)
    assert bob.heard == [b"small"]


def test_what_waits_behind_such_a_message_goes_on_when_that_expires(
    network: MemoryNetwork, raw: MakeRawPeer, peer: MakePeer
) -> None:
    storage = WatchedStorage(network)
    before = peer("alice", storage, name="alice before")
    before.send("bob", DATA, ttl=5, flags=FLAG_PERSISTENT)
    alice = peer("alice", storage)
    alice.send("bob", b"small")
    bob = raw()
    join(bob, alice)
    network.advance(4)
    assert bob.heard == []
    network.advance(2)
    assert bob.heard == [b"small"]


def test_no_more_overtake_a_stored_message_than_a_receiver_remembers(
    network: MemoryNetwork, raw: MakeRawPeer, peer: MakePeer
) -> None:
    """After a crash, the large ones come first: a receiver with a window of one message, which
    remembers two, would have forgotten the small one by then."""
    alice = peer("alice", WatchedStorage(network))
    bob = raw()
    join(bob, alice, window_messages=1)
    for data in (DATA, DATA, b"small"):
        alice.send("bob", data, flags=FLAG_PERSISTENT)
    network.run_until_idle()
    assert bob.heard == []
    take_all(bob)
    acknowledge(bob, 1)
    take_all(bob)
    assert arrived(bob) == 2 * len(DATA)
    acknowledge(bob, 2)
    network.advance(1)
    assert bob.heard == [b"small"]


def test_one_stored_message_may_be_overtaken_in_the_smallest_window(
    network: MemoryNetwork, raw: MakeRawPeer, peer: MakePeer
) -> None:
    alice = peer("alice", WatchedStorage(network))
    bob = raw()
    join(bob, alice, window_messages=1)
    for data in (DATA, b"small"):
        alice.send("bob", data, flags=FLAG_PERSISTENT)
    network.run_until_idle()
    assert arrived(bob) < len(DATA)
    assert bob.heard == [b"small"]
