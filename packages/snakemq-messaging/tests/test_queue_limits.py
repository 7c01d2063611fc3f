"""Limits of the outgoing queues: what counts, and what happens at them."""

from __future__ import annotations

import pytest
from memory_peers import MakePeer, MakeRawPeer, Peer

from snakemq.exceptions import QueueFull, StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import DropReason, QueueLimits, Reject, WhenFull
from snakemq.queues import MemoryQueuesStorage


def full(peer: Peer, ident: str, size: int = 0) -> bool:
    """Is there no room for a message of that size?"""
    try:
        peer.send(ident, b"x" * size, ttl=None)
    except QueueFull:
        return True
    return False


def limited(make_peer: MakePeer, **limits: object) -> Peer:
    return make_peer("alice", queue_limits=QueueLimits(**limits))  # type: ignore[arg-type]


# -- what counts


@pytest.mark.parametrize("limit", ["peer_messages", "total_messages"])
def test_this_many_messages_may_wait(peer: MakePeer, limit: str) -> None:
    alice = limited(peer, **{limit: 3})
    assert [full(alice, "bob") for _ in range(5)] == [False] * 3 + [True] * 2


@pytest.mark.parametrize("limit", ["peer_bytes", "total_bytes"])
def test_this_many_bytes_may_wait(peer: MakePeer, limit: str) -> None:
    alice = limited(peer, **{limit: 100})
    assert not full(alice, "bob", 60)
    assert full(alice, "bob", 41)
    assert not full(alice, "bob", 40)
    assert full(alice, "bob", 1)
    assert not full(alice, "bob", 0)


def test_each_peer_has_a_limit_of_its_own(peer: MakePeer) -> None:
    alice = limited(peer, peer_messages=1)
    assert not full(alice, "bob")
    assert not full(alice, "carol")
    assert full(alice, "bob")


def test_totals_count_all_peers(peer: MakePeer) -> None:
    alice = limited(peer, total_messages=2)
    assert not full(alice, "bob")
    assert not full(alice, "carol")
    assert full(alice, "dave")


@pytest.mark.parametrize("limit", ["peer_bytes", "total_bytes"])
def test_one_message_always_fits(peer: MakePeer, limit: str) -> None:
    alice = limited(peer, **{limit: 10})
    assert not full(alice, "bob", 1000)
    assert full(alice, "bob", 1)


def test_refusal_says_how_full_it_is(peer: MakePeer) -> None:
    alice = limited(peer, total_messages=2)
    alice.send("carol", b"123", ttl=None)
    alice.send("bob", b"12345", ttl=None)
    with pytest.raises(QueueFull, match=r"'bob' is full: 1 messages with 5 bytes .* 2 with 8"):
        alice.send("bob", b"", ttl=None)


def test_messages_in_flight_count_until_they_are_acknowledged(
    network: MemoryNetwork, peer: MakePeer
) -> None:
    alice, bob = limited(peer, peer_messages=2), peer("bob", manual_ack=True)
    alice.connect(bob)
    for _ in range(2):
        assert not full(alice, "bob")
    network.run_until_idle()
    assert len(bob.received) == 2
    assert full(alice, "bob")
    bob.messaging.ack(bob.received[0][2])
    network.run_until_idle()
    assert not full(alice, "bob")
    assert full(alice, "bob")


def test_room_comes_back_with_the_send_to_a_1_6_peer(peer: MakePeer, raw: MakeRawPeer) -> None:
    alice, old = limited(peer, peer_messages=1), raw()
    old.join(alice, "old")
    for _ in range(3):
        assert not full(alice, "old")
        assert full(alice, "old")
        alice.network.run_until_idle()


def rejecting(*_: object) -> None:
    raise Reject


def test_room_comes_back_with_each_drop(network: MemoryNetwork, peer: MakePeer) -> None:
    alice, bob = limited(peer, total_messages=1), peer("bob", max_packet_size=100)
    alice.send("bob", ttl=5)
    network.advance(5)  # expired
    alice.send("bob", ttl=0)
    network.run_until_idle()  # absent
    at_alice, _ = alice.connect(bob)
    alice.send("bob", b"x" * 1000, ttl=0)
    network.run_until_idle()  # too large
    bob.messaging.on_message_recv.add(rejecting)
    alice.send("bob", ttl=0)
    network.advance(1)  # rejected
    network.stall(at_alice)
    alice.send("bob", ttl=0)
    network.run_until_idle()
    network.disconnect(at_alice)
    network.run_until_idle()  # disconnected
    alice.send("bob", ttl=None)
    alice.messaging.drop_queue("bob")
    network.run_until_idle()  # purged
    assert not full(alice, "bob")
    assert full(alice, "bob")
    reasons = alice.messaging.stats().peers["bob"].dropped
    assert set(reasons) == set(DropReason) - {DropReason.QUEUE_FULL, DropReason.NOT_QUEUED}


def test_persistent_messages_of_an_earlier_process_count(peer: MakePeer) -> None:
    storage = MemoryQueuesStorage()
    for _ in range(3):
        storage.push("bob", Message(b"12345", 60, FLAG_PERSISTENT))
    alice = peer("alice", storage, queue_limits=QueueLimits(total_messages=4))
    assert not full(alice, "bob")
    assert full(alice, "carol")


def test_more_than_the_limit_may_come_from_the_storage(
    network: MemoryNetwork, peer: MakePeer, bob: Peer
) -> None:
    storage = MemoryQueuesStorage()
    for n in range(10):
        storage.push("bob", Message(b"%d" % n, 60, FLAG_PERSISTENT))
    limits = QueueLimits(peer_messages=2, when_full=WhenFull.DROP_OLDEST)
    alice = peer("alice", storage, queue_limits=limits)
    alice.connect(bob)
    network.run_until_idle()
    assert bob.heard == [b"%d" % n for n in range(10)]
    assert alice.dropped == []


# -- limits of single peers


def test_limits_of_a_single_peer(peer: MakePeer) -> None:
    alice = limited(peer, peer_messages=1, total_messages=100)
    alice.messaging.set_queue_limits("bob", QueueLimits(peer_messages=3))
    assert [full(alice, "bob") for _ in range(4)] == [False] * 3 + [True]
    assert [full(alice, "carol") for _ in range(2)] == [False, True]
    alice.messaging.set_queue_limits("bob", QueueLimits(peer_messages=4))
    assert [full(alice, "bob") for _ in range(2)] == [False, True]


def test_totals_of_the_stack_hold_for_single_peers_too(peer: MakePeer) -> None:
    alice = limited(peer, total_messages=2)
    alice.messaging.set_queue_limits("bob", QueueLimits(total_messages=100))
    assert [full(alice, "bob") for _ in range(3)] == [False, False, True]


def test_stack_without_limits_cannot_have_them_later(alice: Peer) -> None:
    with pytest.raises(ValueError, match="queue_limits"):
        alice.messaging.set_queue_limits("bob", QueueLimits(peer_messages=1))


@pytest.mark.parametrize(
    "wrong", [{"peer_messages": 0}, {"peer_bytes": -1}, {"total_messages": 0}, {"total_bytes": 0}]
)
def test_limit_below_one_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        QueueLimits(**wrong)  # type: ignore[arg-type]


def test_timeout_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="timeout"):
        QueueLimits(timeout=-1)


# -- refusing leaves nothing behind


def test_message_that_was_refused_is_not_in_the_storage(peer: MakePeer) -> None:
    storage = MemoryQueuesStorage()
    alice = peer("alice", storage, queue_limits=QueueLimits(peer_messages=1))
    alice.send("bob", b"1", 60, FLAG_PERSISTENT)
    with pytest.raises(QueueFull):
        alice.send("bob", b"2", 60, FLAG_PERSISTENT)
    assert [message.data for message in storage.get_items("bob")] == [b"1"]
    assert alice.messaging.stats().unread_outbox == 1


def test_message_that_cannot_be_stored_takes_no_room(
    peer: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = MemoryQueuesStorage()
    alice = peer("alice", storage, queue_limits=QueueLimits(peer_messages=1))

    def fail(*_: object) -> None:
        raise StorageError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "push", fail)
        for _ in range(3):
            with pytest.raises(StorageError):
                alice.send("bob", b"", 60, FLAG_PERSISTENT)
    alice.send("bob", b"", 60, FLAG_PERSISTENT)


# -- dropping the oldest


def test_oldest_is_dropped_and_reported_with_its_reason(
    network: MemoryNetwork, peer: MakePeer, bob: Peer
) -> None:
    alice = limited(peer, peer_messages=3, when_full=WhenFull.DROP_OLDEST)
    uuids = [alice.send("bob", b"%d" % n, ttl=None) for n in range(5)]
    network.run_until_idle()
    assert alice.dropped == [("bob", uuid) for uuid in uuids[:2]]
    assert alice.messaging.stats().peers["bob"].dropped == {DropReason.QUEUE_FULL: 2}
    alice.connect(bob)
    assert bob.heard == [b"2", b"3", b"4"]


def test_as_many_are_dropped_as_the_bytes_of_a_new_one_need(
    network: MemoryNetwork, peer: MakePeer
) -> None:
    alice = limited(peer, peer_bytes=100, when_full=WhenFull.DROP_OLDEST)
    uuids = [alice.send("bob", b"x" * 30, ttl=None) for _ in range(3)]
    alice.send("bob", b"x" * 70, ttl=None)
    network.run_until_idle()
    assert alice.dropped == [("bob", uuid) for uuid in uuids[:2]]


def test_a_dropped_message_leaves_the_storage(network: MemoryNetwork, peer: MakePeer) -> None:
    storage = MemoryQueuesStorage()
    limits = QueueLimits(peer_messages=1, when_full=WhenFull.DROP_OLDEST)
    alice = peer("alice", storage, queue_limits=limits)
    for data in (b"1", b"2"):
        alice.send("bob", data, 60, FLAG_PERSISTENT)
    network.advance(1)
    assert [message.data for message in storage.get_items("bob")] == [b"2"]


def test_messages_in_flight_are_not_dropped(network: MemoryNetwork, peer: MakePeer) -> None:
    alice = limited(peer, peer_messages=2, when_full=WhenFull.DROP_OLDEST)
    bob = peer("bob", manual_ack=True, window_messages=2)
    alice.connect(bob)
    for n in range(4):
        alice.send("bob", b"%d" % n, ttl=None)
        network.run_until_idle()
    assert bob.heard == [b"0", b"1"]
    assert len(alice.dropped) == 2  # the new ones: the place is taken by those in flight
    for _, _, message in bob.received:
        bob.messaging.ack(message)
    network.run_until_idle()
    alice.send("bob", b"4", ttl=None)
    network.run_until_idle()
    assert bob.heard == [b"0", b"1", b"4"]


def test_only_messages_of_the_same_peer_make_room(network: MemoryNetwork, peer: MakePeer) -> None:
    """One busy peer must not cost the messages of another."""
    alice = limited(peer, peer_messages=1, total_messages=4, when_full=WhenFull.DROP_OLDEST)
    for ident in ("a", "b", "c", "d"):
        alice.send(ident, ttl=None)
    assert full(alice, "late")
    assert full(alice, "a")
    network.run_until_idle()
    assert alice.dropped == []


def test_while_no_loop_runs_twice_the_limit_may_be_queued(
    network: MemoryNetwork, peer: MakePeer
) -> None:
    alice = limited(peer, peer_messages=5, when_full=WhenFull.DROP_OLDEST)
    for _ in range(10):
        assert not full(alice, "bob")
    assert full(alice, "bob")
    network.run_until_idle()
    assert alice.messaging.stats().peers["bob"].queued == 5


# -- room again


def rooms(peer: Peer) -> list[str]:
    told: list[str] = []
    peer.messaging.on_room.add(told.append)
    return told


def test_room_is_told_once_after_a_refusal(peer: MakePeer, bob: Peer) -> None:
    alice = limited(peer, peer_messages=2)
    told = rooms(alice)
    assert [full(alice, "bob") for _ in range(5)] == [False, False, True, True, True]
    alice.network.run_until_idle()
    assert told == []
    alice.connect(bob)
    alice.network.advance(1)
    assert told == ["bob"]
    alice.send("bob")
    alice.network.advance(1)
    assert told == ["bob"]


def test_room_is_told_for_all_peers_that_wait_for_a_total(peer: MakePeer, bob: Peer) -> None:
    alice = limited(peer, total_messages=2)
    told = rooms(alice)
    alice.send("bob", ttl=None)
    alice.send("bob", ttl=None)
    assert full(alice, "carol")
    assert full(alice, "dave")
    alice.connect(bob)
    alice.network.advance(1)
    assert told == ["carol", "dave"]


def test_room_is_told_when_there_is_enough_for_what_was_refused(
    network: MemoryNetwork, peer: MakePeer
) -> None:
    alice = limited(peer, peer_bytes=100)
    told = rooms(alice)
    alice.send("bob", b"x" * 60, ttl=10)
    alice.send("bob", b"x" * 40, ttl=5)
    assert full(alice, "bob", 60)
    network.advance(5)
    assert told == []
    network.advance(5)
    assert told == ["bob"]


def test_room_is_told_when_the_limits_grow(network: MemoryNetwork, peer: MakePeer) -> None:
    alice = limited(peer, peer_messages=1)
    told = rooms(alice)
    assert not full(alice, "bob")
    assert full(alice, "bob")
    alice.messaging.set_queue_limits("bob", QueueLimits(peer_messages=2))
    network.run_until_idle()
    assert told == ["bob"]


def test_what_never_has_room_is_not_waited_for(network: MemoryNetwork, peer: MakePeer) -> None:
    alice = limited(peer, peer_messages=2)
    told = rooms(alice)
    alice.send("bob", ttl=5)
    with pytest.raises(QueueFull):
        alice.messaging.send_messages("bob", [Message(b"", None)] * 3)
    network.advance(5)
    assert told == []


def test_a_producer_that_follows_the_room_loses_nothing(peer: MakePeer, bob: Peer) -> None:
    """Also if what it does with the room fills the queue again."""
    alice = limited(peer, peer_messages=3)
    left = [b"%d" % number for number in range(50)]

    def produce(*_: object) -> None:
        while left and not post_next():
            pass

    def post_next() -> bool:
        try:
            alice.send("bob", left[0], ttl=None)
        except QueueFull:
            return True
        del left[0]
        return False

    alice.messaging.on_room.add(produce)
    produce()
    alice.connect(bob)
    alice.network.advance(60)
    assert bob.heard == [b"%d" % number for number in range(50)]
