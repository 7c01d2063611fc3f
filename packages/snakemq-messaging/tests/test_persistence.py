"""Persistent messages outlive their process, and a storage that fails costs nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from memory_peers import MakePeer, MakeRawPeer, Peer, restart

from snakemq.exceptions import StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage

SOON = 0.1
"""Seconds within which deletions, which are collected, have reached the storage."""


def stored(storage: MemoryQueuesStorage, ident: str = "bob") -> list[bytes]:
    return [message.data for message in storage.get_items(ident)]


def send_persistent(peer: Peer, *messages: bytes, ttl: float | None = 600) -> list[bytes]:
    return [peer.send("bob", data, ttl, FLAG_PERSISTENT) for data in messages]


@pytest.fixture
def storage() -> MemoryQueuesStorage:
    return MemoryQueuesStorage()


@pytest.fixture
def alice(peer: MakePeer, storage: MemoryQueuesStorage) -> Peer:
    return peer("alice", storage)


@pytest.fixture
def reborn(network: MemoryNetwork, storage: MemoryQueuesStorage) -> MakePeer:
    """Makes alice anew, after her process was killed."""

    def make(killed: Peer) -> Peer:
        network.crash(killed.link)
        return Peer(network, "alice", restart(storage))

    return make


def test_message_is_stored_before_send_message_returns(
    alice: Peer, storage: MemoryQueuesStorage
) -> None:
    sent = Message(b"data", 600, FLAG_PERSISTENT | 0x10)
    alice.messaging.send_message("bob", sent)
    (found,) = storage.get_items("bob")
    assert (found.data, found.ttl, found.flags) == (b"data", 600, FLAG_PERSISTENT | 0x10)
    assert found.uuid == sent.uuid


@pytest.mark.parametrize(
    ("ttl", "flags"), [(0, FLAG_PERSISTENT), (600, 0), (None, 0), (600, 0xFFFFFFFE)]
)
def test_what_need_not_outlive_the_process_is_not_stored(
    network: MemoryNetwork,
    alice: Peer,
    bob: Peer,
    storage: MemoryQueuesStorage,
    ttl: float | None,
    flags: int,
) -> None:
    alice.connect(bob)
    alice.send("bob", b"data", ttl, flags)
    assert stored(storage) == []
    network.run_until_idle()
    assert bob.heard == [b"data"]


def test_without_a_storage_a_persistent_message_is_one_like_others(
    network: MemoryNetwork, peer: MakePeer, bob: Peer
) -> None:
    alice = peer("alice")
    alice.connect(bob)
    send_persistent(alice, b"data")
    network.run_until_idle()
    assert bob.heard == [b"data"]
    assert bob.received[0][2].flags == FLAG_PERSISTENT


def test_delivered_message_leaves_the_storage(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: MemoryQueuesStorage
) -> None:
    send_persistent(alice, b"1", b"2")
    network.advance(60)
    assert stored(storage) == [b"1", b"2"]
    alice.connect(bob)
    network.advance(SOON)
    assert bob.heard == [b"1", b"2"]
    assert storage.get_queues() == []


def test_message_that_was_given_to_1_6_leaves_the_storage(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, storage: MemoryQueuesStorage
) -> None:
    old = raw()
    old.join(alice, "bob")
    send_persistent(alice, b"1", b"2")
    network.advance(SOON)
    assert old.heard == [b"1", b"2"]
    assert storage.get_queues() == []


def test_message_stays_in_the_storage_until_it_is_processed(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: MemoryQueuesStorage
) -> None:
    _, at_bob = alice.connect(bob)
    bob.link.pause_reading(at_bob)
    send_persistent(alice, b"data")
    network.advance(60)
    assert len(alice.sent) == 1
    assert stored(storage) == [b"data"]
    bob.link.resume_reading(at_bob)
    network.advance(SOON)
    assert storage.get_queues() == []


def test_dropped_message_leaves_the_storage(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, storage: MemoryQueuesStorage
) -> None:
    (mortal,) = send_persistent(alice, b"mortal", ttl=5)
    send_persistent(alice, b"lasting")
    network.advance(5 + SOON)
    assert alice.dropped == [("bob", mortal)]
    assert stored(storage) == [b"lasting"]


def test_close_brings_the_storage_up_to_date(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: MemoryQueuesStorage
) -> None:
    alice.connect(bob)
    send_persistent(alice, b"delivered")
    network.run_until_idle()
    alice.send("carol", b"waits", 600, FLAG_PERSISTENT)
    network.advance(0)
    network.clock.advance(100)
    alice.messaging.close()
    assert storage.get_queues() == ["carol"]
    assert [message.ttl for message in storage.get_items("carol")] == [500]


def test_messages_are_delivered_in_order_after_a_restart(
    network: MemoryNetwork, alice: Peer, bob: Peer, reborn: MakePeer
) -> None:
    numbers = [b"%d" % number for number in range(100)]
    send_persistent(alice, *numbers)
    alice.send("bob", b"transient")
    network.advance(60)
    alice = reborn(alice)
    send_persistent(alice, b"after the restart")
    alice.connect(bob)
    assert bob.heard == [*numbers, b"after the restart"]


def test_restart_restores_everything_of_a_message(
    network: MemoryNetwork, alice: Peer, bob: Peer, reborn: MakePeer
) -> None:
    uuid = alice.send("bob", b"\0\xff", None, FLAG_PERSISTENT | 0x80000000)
    alice = reborn(alice)
    alice.connect(bob)
    ((_, _, message),) = bob.received
    assert (message.data, message.ttl, message.flags, message.uuid) == (
        b"\0\xff",
        None,
        FLAG_PERSISTENT | 0x80000000,
        uuid,
    )


def test_messages_of_a_killed_process_arrive_once_whenever_it_is_killed() -> None:
    numbers = [b"%d" % number for number in range(300)]
    for seed in range(30):
        network = MemoryNetwork(seed, latency=(0.0, 0.002))
        storage = MemoryQueuesStorage()
        alice, bob = Peer(network, "alice", storage), Peer(network, "bob")
        alice.connect(bob)
        send_persistent(alice, *numbers)
        network.advance(seed * 0.001)
        network.crash(alice.link)
        storage = restart(storage)
        alice = Peer(network, "alice", storage)
        network.run_until_idle()
        alice.connect(bob)
        network.advance(5)
        assert bob.heard == numbers, seed
        assert storage.get_queues() == []


def test_what_has_expired_in_the_storage_is_dropped_and_reported(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: MemoryQueuesStorage, reborn: MakePeer
) -> None:
    expired, alive = send_persistent(alice, b"expired", b"alive")
    item = storage.get_items("bob")[0]
    storage.update_items_ttl([Message(item.data, 0, item.flags, item.uuid)])
    alice = reborn(alice)
    network.run_until_idle()
    assert alice.dropped == [("bob", expired)]
    alice.connect(bob)
    assert [m.uuid for _, _, m in bob.received] == [alive]
    network.advance(SOON)
    assert restart(storage).get_queues() == []


def test_ttl_goes_on_after_a_restart(
    network: MemoryNetwork, alice: Peer, storage: MemoryQueuesStorage, reborn: MakePeer
) -> None:
    (uuid,) = send_persistent(alice, b"data", ttl=600)
    network.advance(400)
    alice.messaging.close()
    alice = reborn(alice)
    network.advance(199.9)
    assert alice.dropped == []
    network.advance(0.2)
    assert alice.dropped == [("bob", uuid)]


def test_what_is_not_a_storage_is_refused(network: MemoryNetwork) -> None:
    with pytest.raises(TypeError, match="queues_storage"):
        Messaging("alice", "", Packeter(network.link("x")), 42)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"queues\.db"):
        Messaging("alice", "", Packeter(network.link("y")), "queues.db")


class Failing(MemoryQueuesStorage):
    """Raises what it is told to."""

    error_in_push: Exception | None = None
    error_in_delete: Exception | None = None
    attempts_to_delete = 0

    def push(self, queue_name: str, item: Message) -> None:
        if self.error_in_push is not None:
            raise self.error_in_push
        super().push(queue_name, item)

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        self.attempts_to_delete += 1
        if self.error_in_delete is not None:
            raise self.error_in_delete
        super().delete(queue_name, items)


@pytest.fixture
def failing() -> Failing:
    return Failing()


@pytest.mark.parametrize("error", [StorageError("disk full"), OSError("not translated")])
def test_error_in_push_is_raised_and_nothing_is_queued(
    network: MemoryNetwork, peer: MakePeer, bob: Peer, failing: Failing, error: Exception
) -> None:
    alice = peer("alice", failing)
    alice.connect(bob)
    failing.error_in_push = error
    with pytest.raises(type(error)) as caught:
        send_persistent(alice, b"lost")
    assert caught.value is error
    failing.error_in_push = None
    send_persistent(alice, b"stored")
    alice.send("bob", b"transient")
    network.advance(60)
    assert bob.heard == [b"stored", b"transient"]
    assert alice.dropped == []
    assert alice.errors == []


@pytest.mark.parametrize("error", [StorageError("disk full"), OSError("not translated")])
def test_error_in_delete_is_reported_and_tried_again(
    network: MemoryNetwork, peer: MakePeer, bob: Peer, failing: Failing, error: Exception
) -> None:
    alice = peer("alice", failing)
    alice.connect(bob)
    failing.error_in_delete = error
    send_persistent(alice, b"1", b"2")
    network.advance(SOON)
    assert bob.heard == [b"1", b"2"]
    assert alice.errors == [(None, error)]
    assert stored(failing) == [b"1", b"2"]
    failing.error_in_delete = None
    network.advance(5)
    assert stored(failing) == []
    assert len(alice.errors) == 1
    assert alice.link.connections


def test_error_in_delete_does_not_make_the_loop_busy(
    network: MemoryNetwork, peer: MakePeer, bob: Peer, failing: Failing
) -> None:
    alice = peer("alice", failing)
    alice.connect(bob)
    failing.error_in_delete = StorageError("disk full")
    send_persistent(alice, *[b"x"] * 3000)
    network.advance(60)
    assert len(bob.heard) == 3000
    assert failing.attempts_to_delete < 100


@pytest.mark.parametrize("error", [StorageError("disk full"), OSError("not translated")])
def test_error_in_delete_does_not_keep_a_peer_from_coming_back(
    network: MemoryNetwork, peer: MakePeer, bob: Peer, failing: Failing, error: Exception
) -> None:
    alice = peer("alice", failing)
    alice.connect(bob)
    failing.error_in_delete = error
    send_persistent(alice, b"1")
    network.run_until_idle()
    network.vanish(bob.link)
    reborn = peer("bob")
    alice.connect(reborn)
    network.advance(60)
    send_persistent(alice, b"2")
    network.run_until_idle()
    assert b"2" in reborn.heard


def test_deletions_of_many_messages_are_collected(
    network: MemoryNetwork, peer: MakePeer, bob: Peer, failing: Failing
) -> None:
    alice = peer("alice", failing)
    alice.connect(bob)
    send_persistent(alice, *[b"x"] * 500)
    network.advance(60)
    assert failing.get_queues() == []
    assert failing.attempts_to_delete < 50


def test_storage_can_be_given_as_a_url_and_is_closed_with_the_stack(network: MemoryNetwork) -> None:
    messaging = Messaging("alice", "", Packeter(network.link("alice")), "memory:")
    storage = messaging.queues_storage
    assert isinstance(storage, MemoryQueuesStorage)
    messaging.send_message("bob", Message(b"stored", ttl=None, flags=FLAG_PERSISTENT))
    assert [item.data for item in storage.get_items("bob")] == [b"stored"]
    messaging.close()
    with pytest.raises(StorageError):
        storage.get_items("bob")
