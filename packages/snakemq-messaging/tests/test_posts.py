"""Posting: nobody waits, the order is kept, and what waits for the storage is bounded."""

from __future__ import annotations

import threading

import pytest
from held_storage import Held
from memory_peers import MakePeer, Peer, restart
from watched_storage import WatchedStorage

from snakemq.exceptions import QueueFull, SnakeMQMessageTooLarge, StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import (
    DropReason,
    QueueLimits,
    Receipt,
    ReceiptState,
    WhenFull,
)
from snakemq.messaging._outgoing import _posts
from snakemq.messaging._outgoing._stored._deletions import DELETE_DELAY
from snakemq.queues import MemoryQueuesStorage

POSTED, QUEUED, FAILED = ReceiptState.POSTED, ReceiptState.QUEUED, ReceiptState.FAILED


def post(peer: Peer, data: bytes = b"x", ttl: float | None = None, *, keep: bool = True) -> Receipt:
    """Post a persistent message, or another one."""
    return peer.messaging.post("bob", Message(data, ttl, FLAG_PERSISTENT if keep else 0))


def states(*receipts: Receipt) -> list[ReceiptState]:
    return [receipt.state for receipt in receipts]


@pytest.fixture
def storage(network: MemoryNetwork) -> WatchedStorage:
    return WatchedStorage(network)


# -- nobody waits


def test_a_persistent_message_is_queued_when_the_storage_has_it(
    held: Held, peer: MakePeer, storage: WatchedStorage
) -> None:
    alice = peer("alice", storage)
    held.hangs = True
    receipt = post(alice)
    alice.network.run_until_idle()
    assert (receipt.state, storage.texts()) == (POSTED, [])
    held.go_on()
    assert (receipt.state, storage.texts()) == (POSTED, [b"x"])
    alice.network.run_until_idle()
    assert receipt.state is QUEUED


def test_others_go_on_while_the_storage_hangs(
    held: Held, peer: MakePeer, bob: Peer, storage: WatchedStorage
) -> None:
    alice = peer("alice", storage)
    alice.connect(bob)
    held.hangs = True
    alice.messaging.post("carol", Message(b"stored", None, FLAG_PERSISTENT))
    receipt = post(alice, b"transient", keep=False)
    alice.network.advance(1)
    assert receipt.state is ReceiptState.DELIVERED
    assert bob.heard == [b"transient"]


def test_posts_in_a_callback_and_from_another_thread_arrive(alice: Peer, bob: Peer) -> None:
    alice.messaging.on_connect.add(lambda *_: post(alice, b"callback"))
    thread = threading.Thread(target=lambda: post(alice, b"thread"))
    thread.start()
    thread.join()
    alice.connect(bob)
    alice.network.advance(1)
    assert sorted(bob.heard) == [b"callback", b"thread"]


def test_a_full_queue_that_would_block_fails_at_once(peer: MakePeer) -> None:
    alice = peer("alice", queue_limits=QueueLimits(1, when_full=WhenFull.BLOCK, timeout=None))
    dropped: list[tuple[str, Message, DropReason, str]] = []
    alice.messaging.on_message_dropped.add(lambda *args: dropped.append(args))
    message = Message(b"second", None)
    first, second = post(alice, keep=False), alice.messaging.post("bob", message)
    alice.network.run_until_idle()
    assert states(first, second) == [QUEUED, FAILED]
    assert isinstance(second.error, QueueFull)
    assert dropped == [("bob", message, DropReason.NOT_QUEUED, "")]
    assert alice.messaging.stats().peers["bob"].dropped == {DropReason.NOT_QUEUED: 1}


def test_a_refused_post_can_be_posted_again_when_there_is_room(peer: MakePeer, bob: Peer) -> None:
    alice = peer("alice", queue_limits=QueueLimits(1))
    message = Message(b"again", None)
    post(alice, b"first", keep=False)
    refused = alice.messaging.post("bob", message)
    again: list[Receipt] = []
    alice.messaging.on_room.add(lambda ident: again.append(alice.messaging.post(ident, message)))
    alice.network.run_until_idle()
    assert refused.state is FAILED
    alice.connect(bob)
    alice.network.advance(1)
    assert bob.heard == [b"first", b"again"]
    assert again[0].uuid == refused.uuid
    assert again[0].state is ReceiptState.DELIVERED


def test_the_oldest_is_dropped_for_a_post_too(peer: MakePeer) -> None:
    alice = peer("alice", queue_limits=QueueLimits(1, when_full=WhenFull.DROP_OLDEST))
    first, second = post(alice, keep=False), post(alice, keep=False)
    alice.network.run_until_idle()
    assert states(first, second) == [ReceiptState.DROPPED, QUEUED]


@pytest.mark.parametrize(
    ("ident", "message", "error"),
    [
        ("x" * 51, Message(b""), ValueError),
        ("bob", b"data", TypeError),
        (7, Message(b""), TypeError),
    ],
)
def test_wrong_arguments_are_raised(
    alice: Peer, ident: str, message: Message, error: type[Exception]
) -> None:
    with pytest.raises(error):
        alice.messaging.post(ident, message)


# -- the order


def test_posts_keep_their_order_while_some_are_being_stored(
    held: Held, peer: MakePeer, bob: Peer, storage: WatchedStorage
) -> None:
    alice = peer("alice", storage)
    alice.connect(bob)
    held.hangs = True
    for number in range(20):
        post(alice, b"%d" % number, ttl=0 if number == 5 else None, keep=number % 3 == 1)
        if number % 7 == 0:
            alice.network.run_until_idle()
    assert bob.heard == [b"0"]
    held.hangs = False
    held.go_on()
    alice.network.advance(1)
    assert bob.heard == [b"%d" % number for number in range(20)]


def test_a_post_comes_after_what_was_sent_before(
    held: Held, peer: MakePeer, bob: Peer, storage: WatchedStorage
) -> None:
    alice = peer("alice", storage)
    alice.send("bob", b"sent", None, FLAG_PERSISTENT)
    held.hangs = True
    post(alice, b"posted")
    alice.send("bob", b"overtakes", None, FLAG_PERSISTENT)
    alice.network.run_until_idle()
    held.hangs = False
    held.go_on()
    alice.connect(bob)
    alice.network.advance(1)
    assert bob.heard == [b"sent", b"overtakes", b"posted"]


def test_the_next_process_has_the_same_order(
    peer: MakePeer, bob: Peer, network: MemoryNetwork
) -> None:
    storage = MemoryQueuesStorage()
    alice = peer("alice", storage)
    for number in range(5):
        post(alice, b"%d" % number)
    network.run_until_idle()
    peer("alice", restart(storage), name="later").connect(bob)
    network.advance(1)
    assert bob.heard == [b"0", b"1", b"2", b"3", b"4"]


def test_the_ttl_counts_from_the_post(
    held: Held, peer: MakePeer, bob: Peer, storage: WatchedStorage
) -> None:
    alice = peer("alice", storage)
    held.hangs = True
    receipt = post(alice, ttl=10)
    alice.network.advance(6)
    held.hangs = False
    held.go_on()
    alice.network.advance(4)
    assert receipt.state is ReceiptState.DROPPED
    alice.connect(bob)
    assert bob.heard == []


# -- the storage


def test_what_is_posted_meanwhile_shares_a_commit(
    held: Held, peer: MakePeer, storage: WatchedStorage
) -> None:
    alice = peer("alice", storage)
    held.hangs = True
    first = post(alice)
    alice.network.run_until_idle()
    others = [post(alice) for _ in range(50)]
    held.hangs = False
    held.go_on()
    alice.network.run_until_idle()
    assert set(states(first, *others)) == {QUEUED}
    assert storage.calls["push_many"] == 1


def test_a_storage_that_fails_for_now_fails_all_and_keeps_none(
    peer: MakePeer, bob: Peer, storage: WatchedStorage
) -> None:
    alice = peer("alice", storage, queue_limits=QueueLimits(3))
    storage.failing = {"push", "push_many"}
    receipts = [post(alice, b"0"), post(alice, b"1", keep=False), post(alice, b"2")]
    alice.network.run_until_idle()
    assert states(*receipts) == [FAILED, QUEUED, FAILED]
    assert isinstance(receipts[0].error, StorageError)
    assert alice.kinds_of_errors == [StorageError]
    storage.failing = set()
    last = post(alice, b"3")
    alice.network.run_until_idle()
    occupancy = alice.messaging._wings.occupancy
    assert occupancy is not None
    assert occupancy._total.messages == 2
    alice.connect(bob)
    alice.network.advance(1)
    assert last.state is ReceiptState.DELIVERED
    assert bob.heard == [b"1", b"3"]


def test_a_message_that_the_storage_refuses_does_not_fail_others(peer: MakePeer) -> None:
    class Small(MemoryQueuesStorage):
        def push(self, queue_name: str, item: Message) -> int | None:
            if len(item.data) > 10:
                raise SnakeMQMessageTooLarge("the back end has no room for it")
            return super().push(queue_name, item)

    alice = peer("alice", Small())
    receipts = [post(alice, b"x" * size) for size in (1, 100, 2)]
    alice.network.run_until_idle()
    assert states(*receipts) == [QUEUED, FAILED, QUEUED]
    assert isinstance(receipts[1].error, SnakeMQMessageTooLarge)
    assert not alice.errors


def test_headers_that_the_storage_would_lose_are_refused(
    peer: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = MemoryQueuesStorage()
    monkeypatch.setattr(storage, "keeps_headers", False)
    alice = peer("alice", storage)
    message = Message(b"", None, FLAG_PERSISTENT, headers={"a": "b"})
    receipt = alice.messaging.post("bob", message)
    alice.network.run_until_idle()
    with pytest.raises(StorageError, match="does not keep headers"):
        receipt.wait()


def test_what_waits_for_the_storage_is_bounded(
    monkeypatch: pytest.MonkeyPatch, held: Held, peer: MakePeer, storage: WatchedStorage
) -> None:
    monkeypatch.setattr(_posts, "MAX_UNSTORED_BYTES", 3 * (_posts.MESSAGE_COST + 1))
    alice = peer("alice", storage, queue_limits=QueueLimits(100))
    held.hangs = True
    receipts = [post(alice) for _ in range(5)]
    alice.network.run_until_idle()
    assert states(*receipts) == [POSTED] * 3 + [FAILED] * 2
    assert isinstance(receipts[4].error, QueueFull)
    held.hangs = False
    held.go_on()
    alice.network.run_until_idle()
    receipts.append(post(alice))
    alice.network.run_until_idle()
    assert states(*receipts[:3], receipts[-1]) == [QUEUED] * 4
    occupancy = alice.messaging._wings.occupancy
    assert occupancy is not None
    assert occupancy._total.messages == 4
    assert alice.messaging._wings.outgoing.posts._unstored_bytes == 0


def test_a_uuid_waits_until_its_last_message_is_deleted(
    held: Held, peer: MakePeer, storage: WatchedStorage
) -> None:
    alice = peer("alice", storage)
    message = Message(b"again", 1, FLAG_PERSISTENT, b"u" * 16)
    first = alice.messaging.post("bob", message)
    other = post(alice, b"other", 1)
    alice.network.run_until_idle()
    held.hangs = True
    alice.network.advance(1)  # both expire
    alice.network.advance(DELETE_DELAY)  # and are being deleted
    assert states(first, other) == [ReceiptState.DROPPED] * 2
    again = alice.messaging.post("bob", Message(b"again", None, FLAG_PERSISTENT, b"u" * 16))
    alice.network.run_until_idle()
    held.hangs = False
    held.go_on()
    alice.network.advance(1)
    assert again.state is QUEUED
    assert storage.texts() == [b"again"]


@pytest.mark.parametrize("hangs", [False, True])
def test_a_uuid_is_stored_again_while_others_are_being_deleted(
    held: Held, peer: MakePeer, storage: WatchedStorage, hangs: bool
) -> None:
    alice = peer("alice", storage)
    post(alice, b"other", 1)
    first = alice.messaging.post("bob", Message(b"old", 2, FLAG_PERSISTENT, b"u" * 16))
    alice.network.run_until_idle()
    held.hangs = hangs
    alice.network.advance(1)
    alice.network.advance(DELETE_DELAY)
    alice.network.advance(1 - DELETE_DELAY)
    assert first.state is ReceiptState.DROPPED
    again = alice.messaging.post("bob", Message(b"new", None, FLAG_PERSISTENT, b"u" * 16))
    alice.network.advance(3 * DELETE_DELAY)
    held.hangs = False
    held.go_on()
    alice.network.advance(1)
    assert again.state is QUEUED
    assert storage.texts() == [b"new"]


def test_a_message_without_a_storage_waits_in_memory(
    caplog: pytest.LogCaptureFixture, alice: Peer, bob: Peer
) -> None:
    receipt = post(alice)
    alice.network.run_until_idle()
    assert receipt.state is QUEUED
    assert "waits in memory only" in caplog.text


# -- the rest of the stack


def test_figures_count_posts(held: Held, peer: MakePeer, storage: WatchedStorage) -> None:
    alice = peer("alice", storage)
    held.hangs = True
    post(alice)
    assert alice.messaging.stats().unread_outbox == 1
    alice.network.run_until_idle()
    stats = alice.messaging.stats()
    assert (stats.unread_outbox, stats.peers["bob"].queued) == (0, 1)
    held.go_on()
    alice.network.run_until_idle()
    assert alice.messaging.stats().peers["bob"].queued == 1


def test_a_close_stores_what_was_posted(peer: MakePeer, storage: WatchedStorage) -> None:
    alice = peer("alice", storage)
    post(alice, b"0")
    post(alice, b"1")
    alice.messaging.close()
    assert storage.texts() == [b"0", b"1"]


def test_a_peer_that_comes_and_goes_meanwhile_gets_all(
    held: Held, peer: MakePeer, bob: Peer, storage: WatchedStorage
) -> None:
    alice = peer("alice", storage)
    held.hangs = True
    receipts = [post(alice, b"0"), post(alice, b"1", keep=False)]
    at_alice, _ = alice.connect(bob)
    alice.network.disconnect(at_alice)
    alice.network.advance(1)
    held.hangs = False
    held.go_on()
    alice.network.run_until_idle()
    assert states(*receipts) == [QUEUED] * 2
    alice.connect(bob)
    alice.network.advance(1)
    assert bob.heard == [b"0", b"1"]
