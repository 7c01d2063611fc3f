"""Many messages in one call: all or none of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from memory_peers import MakePeer, Peer
from watched_storage import WatchedStorage

from snakemq.exceptions import QueueFull, StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import DropReason, QueueLimits


@pytest.fixture
def storage(network: MemoryNetwork) -> WatchedStorage:
    return WatchedStorage(network)


@pytest.fixture
def alice(peer: MakePeer, storage: WatchedStorage) -> Peer:
    return peer("alice", storage)


def batch(*texts: bytes, ttl: float | None = None, flags: int = FLAG_PERSISTENT) -> list[Message]:
    return [Message(text, ttl, flags) for text in texts]


def received_uuids(peer: Peer) -> list[bytes]:
    return [message.uuid for _, _, message in peer.received]


def test_they_arrive_in_order_among_single_ones(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    send, send_many = alice.messaging.send_message, alice.messaging.send_messages
    uuids = [send("bob", Message(b"1", None))]
    uuids += send_many("bob", batch(b"2", b"3"))
    uuids.append(send("bob", Message(b"4", None, FLAG_PERSISTENT)))
    uuids += send_many("bob", [*batch(b"5"), *batch(b"6", flags=0), *batch(b"7")])
    alice.connect(bob)
    uuids += send_many("bob", batch(b"8", b"9", flags=0))
    network.advance(1)
    assert bob.heard == [b"%d" % n for n in range(1, 10)]
    assert received_uuids(bob) == uuids


def test_those_that_are_persistent_are_stored_in_one_commit(
    alice: Peer, storage: WatchedStorage
) -> None:
    messages = [*batch(b"1"), *batch(b"transient", flags=0), *batch(b"2", b"3")]
    messages += batch(b"now or never", ttl=0)
    uuids = alice.messaging.send_messages("bob", messages)
    assert uuids == [message.uuid for message in messages]
    assert storage.calls == {"push_many": 1}
    assert storage.texts() == [b"1", b"2", b"3"]


def test_any_iterable_will_do(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.messaging.send_messages("bob", (Message(b"%d" % n, None) for n in range(3)))
    alice.messaging.send_messages("bob", iter(tuple(batch(b"3"))))
    alice.connect(bob)
    assert bob.heard == [b"0", b"1", b"2", b"3"]


def test_none_at_all(network: MemoryNetwork, alice: Peer, storage: WatchedStorage) -> None:
    assert alice.messaging.send_messages("bob", []) == []
    network.run_until_idle()
    assert not storage.calls
    assert alice.messaging.stats().peers == {}


def failing() -> Iterator[Message]:
    yield Message(b"first", None)
    raise KeyError("no more")


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([Message(b"", None), None], TypeError),
        ([Message(b"", None), b"bytes"], TypeError),
        (Message(b"", None), TypeError),
        (b"bytes", TypeError),
        (None, TypeError),
        (failing(), KeyError),
    ],
    ids=["None", "bytes", "no list", "bytes instead of a list", "nothing", "iterator that raises"],
)
def test_wrong_ones_are_refused_and_nothing_is_queued(
    network: MemoryNetwork,
    alice: Peer,
    bob: Peer,
    storage: WatchedStorage,
    messages: list[Message],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        alice.messaging.send_messages("bob", messages)
    for ident, kind in ((7, TypeError), ("x" * 51, ValueError), ("\ud800", ValueError)):
        with pytest.raises(kind):
            alice.messaging.send_messages(ident, batch(b"1"))  # type: ignore[arg-type]
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == []
    assert not storage.calls


def test_same_object_twice_is_two_messages(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    message = Message(b"twice", None, FLAG_PERSISTENT)
    uuids = alice.messaging.send_messages("bob", [message, message])
    uuids += alice.messaging.send_messages("bob", [message])
    assert uuids[0] == message.uuid
    assert len(set(uuids)) == 3
    assert len(storage.texts()) == 3
    alice.connect(bob)
    network.advance(1)
    assert received_uuids(bob) == uuids
    assert storage.get_queues() == []


def test_same_uuid_of_the_users_twice_is_a_repetition(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    first, second = (Message(b"mine", None, FLAG_PERSISTENT, b"u" * 16) for _ in range(2))
    assert alice.messaging.send_messages("bob", [first, second, first]) == [b"u" * 16] * 3
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == [b"mine"]
    assert storage.get_queues() == []


def test_same_objects_may_go_to_several_peers(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer
) -> None:
    carol = peer("carol")
    messages = batch(b"1", b"2")
    uuids = alice.messaging.send_messages("bob", messages)
    assert alice.messaging.send_messages("carol", messages) == uuids
    alice.connect(bob)
    alice.connect(carol)
    network.advance(1)
    assert received_uuids(bob) == received_uuids(carol) == uuids


def test_what_could_not_be_stored_can_be_sent_again_and_keeps_its_uuid(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    messages = [*batch(b"1", b"2"), *batch(b"3", flags=0)]
    uuids = [message.uuid for message in messages]
    storage.failing = {"push", "push_many"}
    for _ in range(3):
        with pytest.raises(StorageError):
            alice.messaging.send_messages("bob", messages)
    with pytest.raises(StorageError):
        alice.messaging.send_message("bob", messages[0])
    storage.failing = set()
    network.advance(1)
    assert storage.texts() == []
    assert alice.messaging.stats().peers == {}
    assert alice.messaging.send_messages("bob", messages) == uuids
    alice.connect(bob)
    network.advance(1)
    assert received_uuids(bob) == uuids
    assert alice.errors == []
    assert storage.get_queues() == []


def test_there_is_room_for_all_of_them_or_for_none(
    network: MemoryNetwork, peer: MakePeer, bob: Peer, storage: WatchedStorage
) -> None:
    alice = peer("alice", storage, queue_limits=QueueLimits(peer_messages=3, peer_bytes=100))
    messages = batch(b"1", b"2", b"3", b"4")
    uuids = [message.uuid for message in messages]
    with pytest.raises(QueueFull, match="no room for 4 more"):
        alice.messaging.send_messages("bob", messages)
    with pytest.raises(QueueFull):
        alice.messaging.send_messages("bob", batch(b"x" * 60, b"x" * 41))
    assert storage.texts() == []
    assert alice.messaging.send_messages("bob", messages[:2]) == uuids[:2]
    with pytest.raises(QueueFull):
        alice.messaging.send_messages("bob", messages[2:])
    alice.connect(bob)
    network.advance(1)
    assert alice.messaging.send_messages("bob", messages[2:]) == uuids[2:]
    network.advance(1)
    assert received_uuids(bob) == uuids


def test_room_is_given_back_if_they_cannot_be_stored(
    peer: MakePeer, storage: WatchedStorage
) -> None:
    alice = peer("alice", storage, queue_limits=QueueLimits(total_messages=2, total_bytes=2))
    storage.failing = {"push_many"}
    for _ in range(3):
        with pytest.raises(StorageError):
            alice.messaging.send_messages("bob", batch(b"1", b"2"))
    storage.failing = set()
    alice.messaging.send_messages("bob", batch(b"1", b"2"))


def test_ttl_0_is_for_peers_that_are_connected(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    lost = alice.messaging.send_messages("bob", batch(b"1", b"2", ttl=0))
    network.run_until_idle()
    assert alice.dropped == [("bob", uuid) for uuid in lost]
    assert alice.messaging.stats().peers["bob"].dropped == {DropReason.ABSENT: 2}
    alice.connect(bob)
    alice.messaging.send_messages("bob", batch(b"3", b"4", ttl=0))
    network.run_until_idle()
    assert bob.heard == [b"3", b"4"]
