"""Receipts: what they tell of a posted message, whom they wake up, and what they keep."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest
from memory_peers import MakePeer, MakeRawPeer, Peer

from snakemq.exceptions import LoopError, QueueFull, StorageError
from snakemq.link import Link
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import (
    Dropped,
    DropReason,
    Messaging,
    QueueLimits,
    Receipt,
    ReceiptState,
    Reject,
    Unconfirmed,
)
from snakemq.messaging._outgoing._posts import Posts
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage

PATIENCE = 30.0
"""Seconds after which a test has failed; it goes on as soon as it can."""


def post(peer: Peer, data: bytes = b"x", ttl: float | None = None, flags: int = 0) -> Receipt:
    return peer.messaging.post("bob", Message(data, ttl, flags))


def open_ones(peer: Peer) -> int:
    """How many receipts the stack of a peer knows."""
    gc.collect()
    return len(peer.messaging._wings.outgoing._receipts._open)


def rejecting(*_: object) -> None:
    raise Reject("not mine")


# -- what they tell


def test_a_receipt_follows_its_message_to_the_delivery(peer: MakePeer, alice: Peer) -> None:
    bob = peer("bob", manual_ack=True)
    receipt = post(alice)
    states = [receipt.state]
    alice.network.run_until_idle()
    states.append(receipt.state)
    alice.connect(bob)
    states.append(receipt.state)
    bob.messaging.ack(bob.received[0][2])
    alice.network.run_until_idle()
    states.append(receipt.state)
    assert states == [
        ReceiptState.POSTED,
        ReceiptState.QUEUED,
        ReceiptState.SENT,
        ReceiptState.DELIVERED,
    ]
    assert receipt.is_done
    assert receipt.error is None
    assert (receipt.ident, receipt.uuid) == ("bob", bob.received[0][2].uuid)
    assert alice.sent == [(alice.connected[0][0], "bob", receipt.uuid)]


@pytest.mark.parametrize("count", [1, 2, 100])
def test_every_message_of_a_batch_is_told(alice: Peer, bob: Peer, count: int) -> None:
    alice.connect(bob)
    receipts = [post(alice, b"%d" % number) for number in range(count)]
    alice.network.advance(1)
    assert {receipt.state for receipt in receipts} == {ReceiptState.DELIVERED}
    assert len(bob.received) == count


def test_a_receipt_says_for_which_reason_a_message_was_dropped(alice: Peer) -> None:
    expired, absent = post(alice, ttl=5), post(alice, ttl=0)
    alice.network.advance(5)
    reasons = []
    for receipt in (expired, absent):
        assert receipt.state is ReceiptState.DROPPED
        assert isinstance(receipt.error, Dropped)
        reasons.append(receipt.error.reason)
    assert reasons == [DropReason.EXPIRED, DropReason.ABSENT]


def test_a_receipt_tells_what_the_receiver_says_of_a_rejection(alice: Peer, bob: Peer) -> None:
    bob.messaging.on_message_recv.add(rejecting)
    alice.connect(bob)
    receipt = post(alice)
    alice.network.advance(1)
    with pytest.raises(Dropped, match="not mine") as raised:
        receipt.wait(0)
    assert raised.value.reason is DropReason.REJECTED
    assert raised.value.detail == "not mine"


def test_a_message_to_a_1_6_peer_stays_unconfirmed(alice: Peer, raw: MakeRawPeer) -> None:
    raw().join(alice, "bob")
    receipt = post(alice)
    alice.network.run_until_idle()
    assert receipt.state is ReceiptState.UNCONFIRMED
    receipt.wait(0, ReceiptState.SENT)
    with pytest.raises(Unconfirmed, match=r"1\.6"):
        receipt.wait(0)


def test_a_message_that_is_sent_again_stays_sent(alice: Peer, peer: MakePeer) -> None:
    bob = peer("bob", manual_ack=True)
    at_alice, _ = alice.connect(bob)
    receipt = post(alice)
    alice.network.run_until_idle()
    alice.network.disconnect(at_alice)
    alice.network.run_until_idle()
    assert receipt.state is ReceiptState.SENT
    alice.connect(bob)
    bob.messaging.ack(bob.received[-1][2])
    alice.network.run_until_idle()
    assert receipt.state is ReceiptState.DELIVERED


def test_a_message_with_ttl_0_that_was_cut_off_is_dropped(alice: Peer, peer: MakePeer) -> None:
    at_alice, _ = alice.connect(peer("bob", manual_ack=True))
    receipt = post(alice, ttl=0)
    alice.network.run_until_idle()
    alice.network.disconnect(at_alice)
    alice.network.run_until_idle()
    receipt.wait(0, ReceiptState.SENT)  # it was
    with pytest.raises(Dropped, match="disconnected"):
        receipt.wait(0)


def test_a_message_that_was_only_in_the_storage_is_found_again(
    monkeypatch: pytest.MonkeyPatch, peer: MakePeer, bob: Peer
) -> None:
    """Then a page brings another object with the same uuid."""
    monkeypatch.setattr("snakemq.messaging._outgoing._queue._queue.MAX_MESSAGES_IN_MEMORY", 2)
    alice = peer("alice", MemoryQueuesStorage())
    receipts = [post(alice, b"%d" % number, None, FLAG_PERSISTENT) for number in range(10)]
    alice.network.run_until_idle()
    alice.connect(bob)
    alice.network.advance(1)
    assert {receipt.state for receipt in receipts} == {ReceiptState.DELIVERED}
    assert bob.heard == [b"%d" % number for number in range(10)]


def test_a_large_message_is_sent_with_its_last_chunk(alice: Peer, bob: Peer) -> None:
    at_alice, _ = alice.connect(bob)
    alice.network.stall(at_alice)
    receipt = post(alice, bytes(1_000_000))
    alice.network.run_until_idle()
    assert receipt.state is ReceiptState.QUEUED
    alice.network.unstall(at_alice)
    alice.network.advance(1)
    assert receipt.state is ReceiptState.DELIVERED


def test_receipts_of_one_uuid_tell_the_same(alice: Peer, bob: Peer) -> None:
    message = Message(b"x", None, uuid=b"u" * 16)
    receipts = [alice.messaging.post("bob", message) for _ in range(4)]
    alice.network.run_until_idle()
    del receipts[0], receipts[-1]
    gc.collect()
    alice.connect(bob)
    alice.network.advance(1)
    assert {receipt.state for receipt in receipts} == {ReceiptState.DELIVERED}
    assert bob.heard == [b"x"]
    assert open_ones(alice) == 0


def test_messages_of_one_object_to_two_peers_have_their_own_receipts(
    alice: Peer, bob: Peer
) -> None:
    message = Message(b"x", None)
    to_bob, to_carol = (alice.messaging.post(ident, message) for ident in ("bob", "carol"))
    assert to_bob.uuid == to_carol.uuid
    alice.connect(bob)
    alice.network.advance(1)
    assert to_bob.state is ReceiptState.DELIVERED
    assert to_carol.state is ReceiptState.QUEUED


# -- who waits


class Waiter(threading.Thread):
    """Waits for a receipt."""

    def __init__(self, receipt: Receipt, until: ReceiptState = ReceiptState.DELIVERED) -> None:
        super().__init__(daemon=True)
        self.error: Exception | None = None
        self._receipt = receipt
        self._until = until
        self.start()

    def run(self) -> None:
        try:
            self._receipt.wait(PATIENCE, self._until)
        except Exception as exc:
            self.error = exc

    def result(self) -> Exception | None:
        self.join(PATIENCE)
        assert not self.is_alive()
        return self.error


def test_waiting_threads_wake_up_when_their_state_is_reached(alice: Peer, peer: MakePeer) -> None:
    bob = peer("bob", manual_ack=True)
    receipt = post(alice)
    queued, sent, delivered = (
        Waiter(receipt, until)
        for until in (ReceiptState.QUEUED, ReceiptState.SENT, ReceiptState.DELIVERED)
    )
    alice.network.run_until_idle()
    assert queued.result() is None
    alice.connect(bob)
    assert sent.result() is None
    assert delivered.is_alive()
    bob.messaging.ack(bob.received[0][2])
    alice.network.run_until_idle()
    assert delivered.result() is None


def test_waiting_threads_wake_up_when_the_message_is_dropped(alice: Peer) -> None:
    waiters = [Waiter(post(alice, ttl=0)) for _ in range(3)]
    alice.network.run_until_idle()
    assert [type(waiter.result()) for waiter in waiters] == [Dropped] * 3


def test_waiting_ends_when_the_time_is_over(alice: Peer) -> None:
    receipt = post(alice)
    alice.network.run_until_idle()
    with pytest.raises(TimeoutError, match="the message is queued, not delivered, after 0 s"):
        receipt.wait(0)
    receipt.wait(0, ReceiptState.QUEUED)
    assert not receipt._course.waiting


def test_the_loop_cannot_wait_for_itself(alice: Peer, bob: Peer) -> None:
    errors: list[Exception] = []

    def wait(*_: object) -> None:
        receipt = post(alice)
        try:
            receipt.wait()
        except LoopError as exc:
            errors.append(exc)

    alice.messaging.on_connect.add(wait)
    alice.connect(bob)
    assert "add_done_callback" in str(errors[0])


def test_what_has_ended_can_be_asked_for_in_the_loop(alice: Peer, bob: Peer) -> None:
    receipt = post(alice)
    alice.messaging.on_message_delivered.add(lambda *_: receipt.wait())
    alice.connect(bob)
    alice.network.advance(1)
    assert receipt.is_done
    assert not alice.errors


@pytest.mark.parametrize("until", [ReceiptState.POSTED, ReceiptState.DROPPED])
def test_waiting_for_any_other_state_is_an_error(alice: Peer, until: ReceiptState) -> None:
    with pytest.raises(ValueError, match="wait until QUEUED, SENT or DELIVERED"):
        post(alice).wait(0, until)


# -- callbacks


def test_a_done_callback_gets_the_receipt_in_the_loop(alice: Peer, bob: Peer) -> None:
    told: list[tuple[Receipt, ReceiptState, bool]] = []
    receipt = post(alice)
    receipt.add_done_callback(lambda r: told.append((r, r.state, alice.link.in_loop())))
    alice.connect(bob)
    alice.network.advance(1)
    assert told == [(receipt, ReceiptState.DELIVERED, True)]


def test_a_done_callback_is_called_before_the_event(alice: Peer, bob: Peer) -> None:
    told: list[str] = []
    alice.messaging.on_message_delivered.add(lambda *_: told.append("event"))
    post(alice).add_done_callback(lambda _: told.append("receipt"))
    alice.connect(bob)
    alice.network.advance(1)
    assert told == ["receipt", "event"]


def test_a_done_callback_that_comes_late_is_called_soon(alice: Peer) -> None:
    told: list[Receipt] = []
    receipt = post(alice, ttl=0)
    alice.network.run_until_idle()
    receipt.add_done_callback(told.append)
    assert told == []
    alice.network.run_until_idle()
    assert told == [receipt]


def test_what_a_done_callback_raises_is_reported(alice: Peer) -> None:
    told: list[Receipt] = []
    receipt = post(alice, ttl=0)
    receipt.add_done_callback(lambda _: 1 / 0)
    receipt.add_done_callback(told.append)
    alice.network.run_until_idle()
    assert alice.kinds_of_errors == [ZeroDivisionError]
    assert told == [receipt]


def test_a_done_callback_may_post_and_close(alice: Peer, bob: Peer) -> None:
    second: list[Receipt] = []

    def go_on(_: Receipt) -> None:
        alice.link.close(alice.connected[0][0])
        second.append(post(alice, b"second"))

    post(alice, b"first").add_done_callback(go_on)
    alice.connect(bob)
    alice.network.advance(1)
    alice.connect(bob)
    alice.network.advance(1)
    assert bob.heard == [b"first", b"second"]
    assert second[0].state is ReceiptState.DELIVERED


def test_a_coroutine_cannot_be_a_done_callback(alice: Peer) -> None:
    async def callback(receipt: Receipt) -> None: ...

    with pytest.raises(TypeError, match="is async"):
        post(alice).add_done_callback(callback)


# -- what they keep


def test_nothing_is_kept_for_a_receipt_that_nobody_holds(alice: Peer) -> None:
    receipts = [post(alice) for _ in range(10)]
    alice.network.run_until_idle()
    assert open_ones(alice) == 10
    del receipts[:7]
    assert open_ones(alice) == 3
    del receipts
    assert open_ones(alice) == 0


def test_a_receipt_with_a_callback_holds_itself_until_it_is_called(alice: Peer, bob: Peer) -> None:
    told: list[ReceiptState] = []
    receipt = post(alice)
    receipt.add_done_callback(lambda receipt: told.append(receipt.state))
    course = weakref.ref(receipt._course)
    del receipt
    alice.network.run_until_idle()
    gc.collect()
    alice.connect(bob)
    alice.network.advance(1)
    assert told == [ReceiptState.DELIVERED]
    gc.collect()
    assert course() is None
    assert not alice.messaging._wings.outgoing._receipts._kept


def test_a_receipt_that_has_ended_is_forgotten_by_the_stack(alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    receipt = post(alice)
    alice.network.advance(1)
    assert receipt.is_done
    assert open_ones(alice) == 0


def test_nothing_is_asked_for_once_nobody_holds_a_receipt(alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    receipts = alice.messaging._wings.outgoing._receipts
    assert not receipts.are_held
    post(alice)
    alice.network.advance(1)
    alice.send("bob")
    alice.network.advance(1)
    assert not receipts.are_held


def test_a_receipt_can_be_waited_for_many_times(alice: Peer) -> None:
    receipt = post(alice, ttl=0)
    alice.network.run_until_idle()
    depths = set()
    for _ in range(3):
        with pytest.raises(Dropped) as raised:
            receipt.wait()
        depths.add(len(raised.traceback))
    assert len(depths) == 1


# -- ends


@pytest.fixture
def link() -> Iterator[Link]:
    link = Link()
    yield link
    link.cleanup()


def test_receipts_end_with_the_link(link: Link) -> None:
    storage = MemoryQueuesStorage()
    messaging = Messaging("alice", "", Packeter(link), storage)
    stored = messaging.post("bob", Message(b"stored", None, FLAG_PERSISTENT))
    queued = messaging.post("bob", Message(b"queued", None))
    told: list[Receipt] = []
    stored.add_done_callback(told.append)
    waiter = Waiter(queued)
    link.cleanup()
    assert isinstance(waiter.result(), Unconfirmed)
    assert stored.state is queued.state is ReceiptState.UNCONFIRMED
    assert told == [stored]
    assert [message.data for message in storage.get_items("bob")] == [b"stored"]
    queued.add_done_callback(told.append)
    assert told == [stored, queued]


def test_a_post_after_the_end_fails(link: Link) -> None:
    messaging = Messaging("alice", "", Packeter(link))
    link.cleanup()
    message = Message(b"x", None)
    receipt = messaging.post("bob", message)
    assert receipt.state is ReceiptState.FAILED
    with pytest.raises(LoopError, match="the link was cleaned up"):
        receipt.wait()
    other = Link()
    try:
        second = Messaging("alice", "", Packeter(other))
        assert second.send_message("bob", message) == message.uuid  # as if it was new
    finally:
        other.cleanup()


def test_a_post_that_is_interrupted_ends_with_the_link(
    monkeypatch: pytest.MonkeyPatch, link: Link
) -> None:
    messaging = Messaging("alice", "", Packeter(link))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Posts, "_take", interrupt)
    receipts = [messaging.post("bob", Message(b"x", None)) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt):
        link.loop(runtime=0)
    monkeypatch.undo()
    link.cleanup()
    assert [receipt.state for receipt in receipts] == [ReceiptState.UNCONFIRMED] * 2


def test_a_full_queue_is_told_by_the_receipt(peer: MakePeer) -> None:
    alice = peer("alice", queue_limits=QueueLimits(peer_messages=1))
    first, second = post(alice), post(alice)
    alice.network.run_until_idle()
    assert first.state is ReceiptState.QUEUED
    assert second.state is ReceiptState.FAILED
    with pytest.raises(QueueFull, match="the queue of 'bob' is full"):
        second.wait()


def test_a_storage_that_fails_is_told_by_the_receipt(peer: MakePeer) -> None:
    class Failing(MemoryQueuesStorage):
        def push(self, queue_name: str, item: Message) -> int | None:
            raise StorageError("the disk is full", temporary=True)

    alice = peer("alice", Failing())
    receipt = post(alice, flags=FLAG_PERSISTENT)
    alice.network.run_until_idle()
    assert receipt.state is ReceiptState.FAILED
    with pytest.raises(StorageError, match="the disk is full"):
        receipt.wait()
    assert alice.dropped == [("bob", receipt.uuid)]
    assert alice.kinds_of_errors == [StorageError]


def test_repr_says_what_has_come_of_the_message(alice: Peer) -> None:
    receipt = post(alice)
    assert repr(receipt) == f"<Receipt {receipt.uuid.hex()} for 'bob': posted>"


def test_the_stack_is_not_told_anything_without_a_post(
    monkeypatch: pytest.MonkeyPatch, network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    """Messages that are sent pay nothing for receipts."""
    receipts = type(alice.messaging._wings.outgoing._receipts)
    called: list[str] = []
    for name in ("sent", "delivered", "dropped"):
        note: Callable[..., None] = lambda *_, name=name, **__: called.append(name)  # noqa: E731
        monkeypatch.setattr(receipts, name, note)
    alice.connect(bob)
    for _ in range(3):
        alice.send("bob", ttl=None)
        alice.send("carol", ttl=0)
    network.advance(1)
    assert len(bob.received) == 3
    assert called == []
