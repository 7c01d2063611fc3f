"""A long queue is left to the storage, and nobody who sends or receives can tell."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import pytest
from memory_peers import MakePeer, MakeRawPeer, Peer
from watched_storage import WatchedStorage

from snakemq.exceptions import StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import DropReason
from snakemq.messaging._outgoing._queue import _queue
from snakemq.messaging._outgoing._stored import _pages, _sweep
from snakemq.queues import MemoryQueuesStorage, StoredMessage

IN_MEMORY = 10
PAGE = 4
MANY = 100
"""Messages of which most are left to the storage."""

SWEPT = _sweep.INTERVAL + 5
"""Seconds after which all that has expired was found."""


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_queue, "MAX_MESSAGES_IN_MEMORY", IN_MEMORY)
    monkeypatch.setattr(_pages, "PAGE_MESSAGES", PAGE)


@pytest.fixture
def storage(network: MemoryNetwork) -> WatchedStorage:
    return WatchedStorage(network)


@pytest.fixture
def alice(peer: MakePeer, storage: WatchedStorage) -> Peer:
    return peer("alice", storage)


@pytest.fixture
def reborn(network: MemoryNetwork, storage: WatchedStorage) -> MakePeer:
    """Makes alice anew after her process was killed."""

    def make(killed: Peer, **options: Any) -> Peer:
        network.crash(killed.link)
        return Peer(network, "alice", storage.restarted(), **options)

    return make


def numbers(count: int, begin: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(begin, begin + count)]


def send(
    peer: Peer, texts: Sequence[bytes], ttl: float | None = None, ident: str = "bob"
) -> list[bytes]:
    return [peer.send(ident, text, ttl, FLAG_PERSISTENT) for text in texts]


def in_memory() -> int:
    """How many messages of anybody are in memory, but those of the storage itself."""
    gc.collect()
    return sum(hasattr(o, "queued_at") for o in gc.get_objects() if type(o) is Message)


# -- order


def test_messages_of_a_backlog_arrive_in_order_and_once(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    uuids = send(alice, numbers(MANY))
    network.run_until_idle()
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == numbers(MANY)
    assert [message.uuid for _, _, message in bob.received] == uuids
    assert storage.get_queues() == []
    assert alice.errors == []


@pytest.mark.parametrize("seed", range(8))
def test_transient_and_persistent_messages_keep_their_order(seed: int) -> None:
    """Whenever the peer comes and goes, and whichever of them are in memory."""
    network = MemoryNetwork(seed, latency=(0.0, 0.01))
    alice, bob = Peer(network, "alice", WatchedStorage(network)), Peer(network, "bob")
    for begin in range(0, 3 * MANY, MANY):
        for text in numbers(MANY, begin):
            alice.send("bob", text, None, FLAG_PERSISTENT * (network.random.random() < 0.7))
            if network.random.random() < 0.1:
                network.advance(0.01)
        at_alice, _ = alice.connect(bob)
        network.run_passes(network.random.randrange(200))
        if at_alice in alice.link.connections:
            network.disconnect(at_alice)
        network.run_until_idle()
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == numbers(3 * MANY)
    assert network.errors == []


def test_transient_messages_go_behind_what_an_earlier_process_has_left(
    network: MemoryNetwork, alice: Peer, bob: Peer, reborn: MakePeer
) -> None:
    send(alice, numbers(MANY))
    alice = reborn(alice)
    for number, text in enumerate(numbers(MANY, MANY)):
        alice.send("bob", text, None, FLAG_PERSISTENT * (number % 2))
    network.run_until_idle()
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == numbers(2 * MANY)


def test_transient_message_stays_in_its_place_where_rows_have_vanished(
    network: MemoryNetwork, alice: Peer, bob: Peer, reborn: MakePeer
) -> None:
    send(alice, numbers(6))
    alice = reborn(alice)
    storage = alice.messaging.queues_storage
    assert isinstance(storage, WatchedStorage)
    storage.vanish(b"2", b"3")
    alice.send("bob", b"transient", None)
    send(alice, [b"last"])
    network.run_until_idle()
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == [b"0", b"1", b"4", b"5", b"transient", b"last"]


def test_messages_that_are_sent_while_a_backlog_is_delivered_come_behind_it(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    send(alice, numbers(MANY))
    network.run_until_idle()
    sent = list(numbers(MANY))

    def more(*_: object) -> None:
        if len(sent) < 2 * MANY:
            text = b"%d" % len(sent)
            sent.append(text)
            alice.send("bob", text, None, FLAG_PERSISTENT * (len(sent) % 2))

    alice.messaging.on_message_delivered.add(more)
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == sent == numbers(2 * MANY)


def test_backlog_goes_to_a_1_6_peer_too(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, storage: WatchedStorage
) -> None:
    send(alice, numbers(MANY))
    network.run_until_idle()
    old = raw()
    old.join(alice, "bob")
    network.advance(1)
    assert old.heard == numbers(MANY)
    assert storage.get_queues() == []


def test_backlog_arrives_once_whenever_the_sender_is_killed() -> None:
    for seed in range(20):
        network = MemoryNetwork(seed, latency=(0.0, 0.002))
        storage = WatchedStorage(network)
        alice = Peer(network, "alice", storage)
        bob = Peer(network, "bob", window_messages=PAGE + seed)
        send(alice, numbers(MANY))
        alice.connect(bob)
        network.advance(seed * 0.002)
        network.crash(alice.link)
        network.advance(1)  # she is not refused as a second one
        storage = storage.restarted()
        alice = Peer(network, "alice", storage)
        alice.connect(bob)
        network.advance(5)
        assert bob.heard == numbers(MANY), seed
        assert storage.get_queues() == []


def test_windows_and_pages_of_any_size_fit_together(
    network: MemoryNetwork, peer: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in (1, 2, 7, 1000):
        monkeypatch.setattr(_pages, "PAGE_MESSAGES", page)
        for window in (1, 3, 1000):
            storage = WatchedStorage(network)
            alice = peer(f"alice {page} {window}", storage)
            bob = peer(f"bob {page} {window}", window_messages=window)
            send(alice, numbers(30), ident=bob.ident)
            network.run_until_idle()
            alice.connect(bob)
            network.advance(1)
            assert bob.heard == numbers(30), (page, window)
            assert storage.get_queues() == []


# -- memory


def test_memory_does_not_grow_with_the_queue(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, storage: WatchedStorage
) -> None:
    bob = peer("bob", window_messages=50)
    before = in_memory()
    most = 0
    for begin in range(0, 10_000, 2500):
        send(alice, numbers(2500, begin))
        network.run_until_idle()
        most = max(most, in_memory() - before)
    assert most <= IN_MEMORY
    assert storage.count("bob") == 10_000

    heard: list[bytes] = []

    def hear(conn_id: str, ident: str, message: Message) -> None:
        nonlocal most
        heard.append(message.data)
        bob.received.clear()
        if len(heard) % 2000 == 1000:
            most = max(most, in_memory() - before)

    bob.messaging.on_message_recv.add(hear)
    alice.connect(bob)
    network.advance(1)
    assert heard == numbers(10_000)
    # Two windows: in flight, and received and not processed; and deletions.
    assert most <= IN_MEMORY + PAGE + 2 * 50 + 1000
    assert in_memory() - before <= 50


def test_bytes_count_too(
    network: MemoryNetwork, alice: Peer, bob: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_queue, "MAX_MESSAGES_IN_MEMORY", 1000)
    monkeypatch.setattr(_queue, "MAX_BYTES_IN_MEMORY", 10_000)
    before = in_memory()
    texts = [b"%d" % n * 1000 for n in range(50)]
    send(alice, texts)
    network.run_until_idle()
    assert in_memory() - before <= 11
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == texts


def test_nothing_is_read_at_the_start(
    network: MemoryNetwork, alice: Peer, bob: Peer, reborn: MakePeer
) -> None:
    send(alice, numbers(MANY))
    alice = reborn(alice)
    storage = alice.messaging.queues_storage
    assert isinstance(storage, WatchedStorage)
    network.run_until_idle()
    send(alice, numbers(MANY, MANY))
    network.run_until_idle()
    assert storage.calls["get_items"] == storage.calls["get_page"] == 0
    assert alice.messaging.stats().peers["bob"].queued == 2 * MANY
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == numbers(2 * MANY)
    assert storage.calls["get_items"] == 0


def test_storage_that_cannot_page_is_read_at_the_start(
    network: MemoryNetwork, peer: MakePeer, bob: Peer
) -> None:
    class Old(MemoryQueuesStorage):
        readings = 0

        def get_items(self, queue_name: str) -> Sequence[Message]:
            self.readings += 1
            return super().get_items(queue_name)

        def get_page(
            self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
        ) -> Sequence[StoredMessage]:
            raise AssertionError("it is not to be asked for pages")

    storage = Old()
    first = peer("alice", storage)
    send(first, numbers(MANY))
    network.crash(first.link)
    storage = Old(storage)
    alice = peer("alice", storage)
    assert storage.readings == 1
    send(alice, numbers(MANY, MANY))
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == numbers(2 * MANY)
    assert storage.readings == 1
    assert storage.get_queues() == []


def test_storage_that_cannot_page_leaves_every_message_in_memory(
    network: MemoryNetwork, peer: MakePeer, bob: Peer
) -> None:
    """However many transient messages wait before the first persistent one."""
    alice = peer("alice", MemoryQueuesStorage())
    transient = numbers(2 * IN_MEMORY)
    for text in transient:
        alice.send("bob", text, None)
    network.run_until_idle()
    send(alice, [b"first"])
    network.run_until_idle()
    alice.connect(bob)
    network.advance(1)
    send(alice, [b"second", b"third"])
    network.advance(1)
    assert bob.heard == [*transient, b"first", b"second", b"third"]
    assert alice.messaging.stats().peers["bob"].queued == 0


def test_empty_backlog_of_an_absent_peer_is_forgotten(network: MemoryNetwork, alice: Peer) -> None:
    for number in range(20):
        send(alice, numbers(2 * IN_MEMORY), ttl=5, ident=f"absent {number}")
    network.advance(5 + 4 * SWEPT)
    assert len(alice.dropped) == 20 * 2 * IN_MEMORY
    assert alice.messaging._wings.outgoing.queues() == []


def test_backlog_of_which_nothing_is_left_at_the_start_is_forgotten(
    network: MemoryNetwork, alice: Peer, reborn: MakePeer
) -> None:
    send(alice, numbers(MANY), ttl=100)
    alice = reborn(alice)
    storage = alice.messaging.queues_storage
    assert isinstance(storage, WatchedStorage)
    storage.vanish(*numbers(MANY))
    network.advance(200)
    assert alice.dropped == []
    assert alice.messaging._wings.outgoing.queues() == []


# -- ttl


def test_what_expires_far_behind_is_reported_once_and_in_time(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    kept = send(alice, numbers(MANY))
    short = send(alice, [b"short"] * MANY, ttl=20)
    kept += send(alice, numbers(MANY, MANY))
    long = send(alice, [b"long"] * MANY, ttl=200)
    network.advance(19.9)
    assert alice.dropped == []
    network.advance(SWEPT)
    assert alice.dropped == [("bob", uuid) for uuid in short]
    network.advance(200 + SWEPT)
    assert alice.dropped == [("bob", uuid) for uuid in short + long]
    assert storage.texts() == numbers(2 * MANY)
    assert storage.calls["update_items_ttl"] == 0
    stats = alice.messaging.stats().peers["bob"]
    assert stats.dropped == {DropReason.EXPIRED: 2 * MANY}
    assert stats.queued == len(kept)
    alice.connect(bob)
    network.advance(1)
    assert [message.uuid for _, _, message in bob.received] == kept
    assert len(alice.dropped) == 2 * MANY


def test_what_expires_before_its_page_is_read_is_dropped_then(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, storage: WatchedStorage
) -> None:
    """While the peer is there, and slow."""
    bob = peer("bob", manual_ack=True, window_messages=1)
    first, *mortal = [*send(alice, [b"first"]), *send(alice, numbers(MANY), ttl=20)]
    last = send(alice, [b"last"])
    alice.connect(bob)
    network.advance(60)
    bob.messaging.ack(bob.received[0][2])
    network.advance(1)
    bob.messaging.ack(bob.received[1][2])
    network.advance(1)
    assert [m.uuid for _, _, m in bob.received] == [first, *last]
    assert alice.dropped == [("bob", uuid) for uuid in mortal]
    assert storage.get_queues() == []


def test_what_expires_behind_a_slow_peer_is_reported_when_it_has_left(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True, window_messages=1)
    send(alice, numbers(MANY))
    mortal = send(alice, [b"mortal"] * MANY, ttl=20)
    at_alice, _ = alice.connect(bob)
    network.advance(60)
    assert alice.dropped == []  # nobody reads for the sake of it
    network.disconnect(at_alice)
    network.advance(SWEPT)
    assert alice.dropped == [("bob", uuid) for uuid in mortal]


@pytest.mark.parametrize("is_backlog", [False, True])
def test_what_was_dropped_can_be_sent_again_with_its_uuid_at_once(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage, is_backlog: bool
) -> None:
    """The row of the dropped message is still there then."""
    uuid = b"u" * 16

    def send_mine(ttl: float | None) -> None:
        alice.messaging.send_message("bob", Message(b"mine", ttl, FLAG_PERSISTENT, uuid))

    texts = numbers(MANY if is_backlog else 1)
    send(alice, texts)
    send_mine(ttl=5)
    alice.messaging.on_message_drop.add(lambda ident, uuid: send_mine(ttl=None))
    network.advance(SWEPT)
    assert alice.dropped == [("bob", uuid)]
    assert storage.texts() == [*texts, b"mine"]
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == [*texts, b"mine"]
    assert storage.get_queues() == []


def test_it_cannot_be_sent_again_while_it_cannot_be_deleted(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    uuid = b"u" * 16
    errors: list[Exception] = []

    def send_mine(ttl: float | None) -> None:
        alice.messaging.send_message("bob", Message(b"mine", ttl, FLAG_PERSISTENT, uuid))

    def send_again(ident: str, uuid: bytes) -> None:
        try:
            send_mine(ttl=None)
        except StorageError as exc:
            errors.append(exc)

    send_mine(ttl=5)
    storage.failing = {"delete"}
    alice.messaging.on_message_drop.add(send_again)
    network.advance(SWEPT)
    assert len(errors) == 1
    storage.failing = set()
    network.advance(SWEPT)
    assert storage.get_queues() == []
    send_mine(ttl=None)
    alice.connect(bob)
    assert bob.heard == [b"mine"]


def test_ttl_arrives_as_what_is_left(
    network: MemoryNetwork, alice: Peer, bob: Peer, reborn: MakePeer
) -> None:
    send(alice, numbers(MANY), ttl=1000)
    network.advance(100)
    alice = reborn(alice)
    network.advance(100)
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == numbers(MANY)
    assert {message.ttl for _, _, message in bob.received} == {800}


def test_what_has_expired_at_the_start_is_reported_soon(
    network: MemoryNetwork, alice: Peer, reborn: MakePeer
) -> None:
    uuids = send(alice, numbers(MANY), ttl=30)
    network.advance(29)
    alice = reborn(alice)
    network.advance(1 + SWEPT)
    assert alice.dropped == [("bob", uuid) for uuid in uuids]


def test_stored_ttls_are_not_rewritten(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    send(alice, numbers(MANY), ttl=1000)
    for _ in range(5):
        at_alice, _ = alice.connect(bob)
        network.disconnect(at_alice)
        network.advance(10)
    alice.messaging.close()
    assert storage.calls["update_items_ttl"] == 0


def test_backlog_without_deadlines_is_looked_at_once(
    network: MemoryNetwork, alice: Peer, reborn: MakePeer
) -> None:
    send(alice, numbers(MANY))
    alice = reborn(alice)
    storage = alice.messaging.queues_storage
    assert isinstance(storage, WatchedStorage)
    network.advance(60)
    assert storage.calls["get_page"] <= MANY / _sweep.PAGE_MESSAGES + 2
    storage.calls.clear()
    for _ in range(100):
        network.advance(10)
        send(alice, [b"more"])
    assert storage.calls["get_page"] == 0


def test_backlog_is_not_swept_for_each_message_once_one_has_expired(
    network: MemoryNetwork, alice: Peer, storage: WatchedStorage
) -> None:
    send(alice, numbers(MANY))
    send(alice, [b"mortal"], ttl=1)
    network.advance(60)
    assert len(alice.dropped) == 1
    storage.calls.clear()
    for _ in range(100):
        send(alice, [b"more"])
        network.advance(10)
    assert storage.calls["get_page"] == 0


def test_expired_messages_that_are_not_deleted_yet_do_not_hold_up_the_others(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    send(alice, numbers(IN_MEMORY))
    send(alice, [b"mortal"] * MANY, ttl=1)
    send(alice, numbers(IN_MEMORY, IN_MEMORY))
    storage.failing = {"delete"}
    network.advance(SWEPT)
    assert len(alice.dropped) == MANY
    alice.connect(bob)
    network.run_until_idle()
    assert bob.heard == numbers(2 * IN_MEMORY)
    storage.failing = set()
    network.advance(60)
    assert len(alice.dropped) == MANY
    assert storage.get_queues() == []


# -- stats


def test_stats_count_what_is_in_the_storage(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True, window_messages=5)
    send(alice, [b"12345"] * MANY)
    network.advance(7)
    stats = alice.messaging.stats().peers["bob"]
    assert (stats.queued, stats.queued_bytes) == (MANY, 5 * MANY)
    assert (stats.in_flight, stats.oldest_age) == (0, 7)
    alice.connect(bob)
    for acknowledged in range(MANY):
        stats = alice.messaging.stats().peers["bob"]
        assert stats.in_flight == min(5, MANY - acknowledged)
        assert stats.queued == MANY - acknowledged - stats.in_flight
        assert stats.queued_bytes == 5 * stats.queued
        assert stats.delivered == acknowledged
        bob.messaging.ack(bob.received[acknowledged][2])
        network.run_until_idle()
    stats = alice.messaging.stats().peers["bob"]
    assert (stats.queued, stats.queued_bytes, stats.in_flight) == (0, 0, 0)
    assert stats.delivered == MANY


def test_only_bytes_of_this_process_are_known_exactly(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, reborn: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True, window_messages=1)
    send(alice, [b"12345"] * MANY)
    alice = reborn(alice)
    send(alice, [b"12345"] * MANY)
    network.run_until_idle()
    stats = alice.messaging.stats().peers["bob"]
    assert (stats.queued, stats.queued_bytes) == (2 * MANY, 5 * MANY)
    alice.connect(bob)
    for acknowledged in range(MANY + 1):
        stats = alice.messaging.stats().peers["bob"]
        assert stats.queued == 2 * MANY - acknowledged - 1
        assert 5 * min(MANY, stats.queued) <= stats.queued_bytes <= 5 * (MANY + PAGE)
        bob.messaging.ack(bob.received[acknowledged][2])
        network.run_until_idle()


def test_rows_that_vanish_are_not_counted_forever(
    network: MemoryNetwork, alice: Peer, bob: Peer, reborn: MakePeer
) -> None:
    send(alice, numbers(MANY))
    alice = reborn(alice)
    storage = alice.messaging.queues_storage
    assert isinstance(storage, WatchedStorage)
    send(alice, numbers(MANY, MANY))
    network.run_until_idle()
    storage.vanish(*numbers(10, 50), *numbers(10, MANY + 50), *numbers(1, 2 * MANY - 1))
    alice.connect(bob)
    network.advance(1)
    stats = alice.messaging.stats().peers["bob"]
    assert (stats.queued, stats.queued_bytes) == (0, 0)
    assert stats.delivered == len(bob.heard) == 2 * MANY - 21
