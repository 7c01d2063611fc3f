"""Limits of queues that are mostly in the storage."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from memory_peers import MakePeer, Peer
from watched_storage import WatchedStorage

from snakemq.exceptions import QueueFull
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import DropReason, QueueLimits, WhenFull
from snakemq.messaging._outgoing._queue import _queue
from snakemq.messaging._outgoing._stored import _pages

IN_MEMORY = 10
PAGE = 4
MANY = 100


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_queue, "MAX_MESSAGES_IN_MEMORY", IN_MEMORY)
    monkeypatch.setattr(_pages, "PAGE_MESSAGES", PAGE)


@pytest.fixture
def storage(network: MemoryNetwork) -> WatchedStorage:
    return WatchedStorage(network)


def limited(make_peer: MakePeer, storage: WatchedStorage, **limits: Any) -> Peer:
    return make_peer("alice", storage, queue_limits=QueueLimits(**limits))


def numbers(count: int, begin: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(begin, begin + count)]


def send(peer: Peer, texts: Sequence[bytes], ttl: float | None = None) -> list[bytes]:
    return [peer.send("bob", text, ttl, FLAG_PERSISTENT) for text in texts]


def occupied(peer: Peer) -> tuple[int, int]:
    """Messages and bytes that count for the limits."""
    occupancy = peer.messaging._wings.occupancy
    assert occupancy is not None
    return occupancy._total.messages, occupancy._total.bytes


def test_refused_beyond_the_limit_wherever_the_messages_are(
    network: MemoryNetwork, peer: MakePeer, bob: Peer, storage: WatchedStorage
) -> None:
    alice = limited(peer, storage, peer_messages=MANY)
    for round_ in range(2):
        send(alice, numbers(MANY))
        network.run_until_idle()
        with pytest.raises(QueueFull, match=f"{MANY} messages"):
            send(alice, [b"one more"])
        assert storage.count("bob") == MANY
        alice.connect(bob)
        network.advance(1)
        assert occupied(alice) == (0, 0)
        network.disconnect(alice.link.connections[0])
        assert bob.heard == numbers(MANY) * (round_ + 1)
        network.run_until_idle()


def test_what_an_earlier_process_has_left_counts_with_its_bytes(
    network: MemoryNetwork, peer: MakePeer, bob: Peer, storage: WatchedStorage
) -> None:
    first = peer("alice", storage)
    send(first, [b"12345"] * MANY)
    network.crash(first.link)
    alice = limited(peer, storage.restarted(), total_bytes=5 * MANY + 6)
    assert occupied(alice) == (MANY, 5 * MANY)
    send(alice, [b"12345"])
    with pytest.raises(QueueFull):
        send(alice, [b"12"])
    alice.connect(bob)
    network.advance(1)
    assert len(bob.heard) == MANY + 1
    assert occupied(alice) == (0, 0)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_rows_that_have_vanished_make_room_when_their_turn_has_come(
    network: MemoryNetwork, peer: MakePeer, bob: Peer, storage: WatchedStorage, is_restarted: bool
) -> None:
    alice = limited(peer, storage, peer_messages=MANY)
    send(alice, numbers(MANY))
    network.run_until_idle()
    if is_restarted:
        network.crash(alice.link)
        storage = storage.restarted()
        alice = limited(peer, storage, peer_messages=MANY)
    storage.vanish(*numbers(20, 40), *numbers(1, MANY - 1))
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == [*numbers(40), *numbers(39, 60)]
    assert occupied(alice) == (0, 0)


def test_what_expires_in_the_storage_makes_room(
    network: MemoryNetwork, peer: MakePeer, storage: WatchedStorage
) -> None:
    alice = limited(peer, storage, peer_messages=MANY, peer_bytes=10 * MANY)
    send(alice, numbers(MANY), ttl=5)
    network.advance(30)
    assert len(alice.dropped) == MANY
    assert occupied(alice) == (0, 0)
    send(alice, numbers(MANY))


def test_oldest_are_dropped_wherever_they_are(
    network: MemoryNetwork, peer: MakePeer, bob: Peer, storage: WatchedStorage
) -> None:
    alice = limited(peer, storage, peer_messages=MANY, when_full=WhenFull.DROP_OLDEST)
    uuids = []
    for text in numbers(3 * MANY):
        uuids += send(alice, [text])
        network.run_until_idle()
    assert alice.dropped == [("bob", uuid) for uuid in uuids[: 2 * MANY]]
    assert occupied(alice)[0] == MANY
    network.advance(1)
    assert storage.texts() == numbers(MANY, 2 * MANY)
    assert alice.messaging.stats().peers["bob"].queued == MANY
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == numbers(MANY, 2 * MANY)
    assert occupied(alice) == (0, 0)


def test_what_an_earlier_process_left_above_the_limit_stays_until_a_send(
    network: MemoryNetwork, peer: MakePeer, bob: Peer, storage: WatchedStorage
) -> None:
    first = peer("alice", storage)
    uuids = send(first, numbers(MANY))
    network.crash(first.link)
    storage = storage.restarted()
    alice = limited(peer, storage, peer_messages=10, when_full=WhenFull.DROP_OLDEST)
    network.advance(10)
    assert alice.dropped == []
    send(alice, [b"one more"])
    network.advance(1)
    assert alice.dropped == [("bob", uuid) for uuid in uuids[:-9]]
    assert storage.texts() == [*numbers(9, MANY - 9), b"one more"]
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == [*numbers(9, MANY - 9), b"one more"]


def test_smaller_limits_are_kept_at_once(
    network: MemoryNetwork, peer: MakePeer, storage: WatchedStorage
) -> None:
    alice = limited(peer, storage, total_messages=1000)
    send(alice, numbers(MANY))
    network.run_until_idle()
    smaller = QueueLimits(peer_messages=10, when_full=WhenFull.DROP_OLDEST)
    alice.messaging.set_queue_limits("bob", smaller)
    network.advance(1)
    assert len(alice.dropped) == MANY - 10
    assert storage.texts() == numbers(10, MANY - 10)
    send(alice, [b"one more"])


def test_blocked_sender_goes_on_when_a_message_of_the_backlog_is_delivered(
    network: MemoryNetwork, peer: MakePeer, storage: WatchedStorage
) -> None:
    alice = limited(peer, storage, peer_messages=MANY, when_full=WhenFull.BLOCK, timeout=None)
    bob = peer("bob", window_messages=3)
    send(alice, numbers(MANY))
    network.run_until_idle()
    sent: list[bytes] = []
    thread = threading.Thread(target=lambda: sent.extend(send(alice, numbers(2 * MANY, MANY))))
    thread.start()
    alice.connect(bob)
    network.run_until(lambda: len(bob.heard) == 3 * MANY, patience=10)
    thread.join()
    network.advance(1)
    assert bob.heard == numbers(3 * MANY)
    assert len(sent) == 2 * MANY
    assert occupied(alice) == (0, 0)
    assert storage.get_queues() == []


@pytest.mark.parametrize("rest", [0, 1, MANY])
def test_books_are_right_if_a_page_brings_a_message_before_its_thread(
    network: MemoryNetwork, peer: MakePeer, bob: Peer, rest: int
) -> None:
    """Between the push and the rest of ``send_message`` the loop reads what was pushed."""

    class Slow(WatchedStorage):
        def push(self, queue_name: str, item: Message) -> int | None:
            position = super().push(queue_name, item)
            if item.data == b"slow":
                alice.connect(bob)  # and so the page with this message is read
            return position

    storage = Slow(network)
    alice = limited(peer, storage, total_bytes=100_000)
    send(alice, numbers(MANY))
    network.run_until_idle()
    send(alice, [b"slow"])
    send(alice, numbers(rest, MANY))
    network.advance(1)
    assert bob.heard == [*numbers(MANY), b"slow", *numbers(rest, MANY)]
    assert occupied(alice) == (0, 0)
    stats = alice.messaging.stats().peers["bob"]
    assert (stats.queued, stats.queued_bytes) == (0, 0)


def test_oldest_are_dropped_when_the_storage_can_be_read_again(
    network: MemoryNetwork, peer: MakePeer, storage: WatchedStorage
) -> None:
    alice = limited(peer, storage, peer_messages=20, when_full=WhenFull.DROP_OLDEST)
    send(alice, numbers(20))
    network.run_until_idle()
    storage.failing = {"get_page"}
    for text in numbers(20, 20):
        send(alice, [text])
        network.run_until_idle()
    storage.failing = set()
    network.advance(10)
    assert len(alice.dropped) == 20
    assert storage.texts() == numbers(20, 20)
    assert alice.messaging.stats().peers["bob"].dropped == {DropReason.QUEUE_FULL: 20}


def test_books_are_right_if_there_are_rows_that_have_vanished_as_well(
    network: MemoryNetwork, peer: MakePeer, bob: Peer
) -> None:
    class Slow(WatchedStorage):
        def push(self, queue_name: str, item: Message) -> int | None:
            position = super().push(queue_name, item)
            if item.data == b"slow":
                alice.connect(bob)
            return position

    storage = Slow(network)
    alice = limited(peer, storage, total_messages=1000)
    send(alice, numbers(MANY))
    network.run_until_idle()
    storage.vanish(*numbers(3, 50))
    send(alice, [b"slow"])
    network.advance(1)
    assert len(bob.heard) == MANY - 3 + 1
    assert occupied(alice) == (0, 0)
