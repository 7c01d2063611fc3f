"""Each row of the table of receipts in guarantees.md is made to happen."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from snakemq.exceptions import StorageError
from snakemq.link import Link
from snakemq.link.testing import MemoryLink, MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging, QueueLimits, Receipt, ReceiptState
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage

from .pages import DOCS
from .tables import rows

TABLE = {
    what: ReceiptState[state.strip("`")]
    for what, state in rows((DOCS / "guarantees.md").read_text(), "what happens")
}


class Storage(MemoryQueuesStorage):
    fails = False

    def push(self, queue_name: str, item: Message) -> int | None:
        if self.fails:
            raise StorageError("the disk is full", temporary=True)
        return super().push(queue_name, item)


class Two:
    """alice, who posts to bob, who settles by hand."""

    def __init__(self, limits: QueueLimits | None = None) -> None:
        self.network = MemoryNetwork()
        self.storage = Storage()
        self.alice = self.network.link("alice")
        self.bob = self.network.link("bob")
        self.sending = Messaging(
            "alice", "", Packeter(self.alice), self.storage, queue_limits=limits
        )
        self.receiving = Messaging("bob", "", Packeter(self.bob), manual_ack=True)
        self.received: list[Message] = []
        self.receiving.on_message_recv.add(lambda *args: self.received.append(args[-1]))

    def connect(self, other: MemoryLink | None = None) -> None:
        self.conn_id, _ = self.network.connect(self.alice, other or self.bob)
        self.network.run_until_idle()

    def post(self, ttl: float | None = 60, flags: int = 0, *, runs: bool = True) -> Receipt:
        receipt = self.sending.post("bob", Message(b"x", ttl, flags))
        if runs:
            self.network.run_until_idle()
        return receipt


def not_seen_yet() -> Receipt:
    return Two().post(runs=False)


def not_stored_yet() -> Receipt:
    two = Two()
    storekeeper = two.sending._wings.outgoing.posts._storekeeper
    assert storekeeper is not None
    storekeeper.do = lambda *_: None  # type: ignore[method-assign]
    return two.post(flags=FLAG_PERSISTENT)


def peer_is_away() -> Receipt:
    return Two().post(flags=FLAG_PERSISTENT)


def taken_over(two: Two | None = None) -> Receipt:
    two = two or Two()
    two.connect()
    return two.post()


def cut_off() -> Receipt:
    two = Two()
    receipt = taken_over(two)
    two.network.disconnect(two.conn_id)
    two.network.run_until_idle()
    return receipt


def processed() -> Receipt:
    two = Two()
    receipt = taken_over(two)
    two.receiving.ack(two.received.pop())
    two.network.run_until_idle()
    return receipt


def rejected() -> Receipt:
    two = Two()
    receipt = taken_over(two)
    two.receiving.reject(two.received.pop())
    two.network.run_until_idle()
    return receipt


def expired() -> Receipt:
    two = Two()
    receipt = two.post(ttl=5)
    two.network.advance(5)
    return receipt


def absent() -> Receipt:
    return Two().post(ttl=0)


def to_an_old_peer() -> Receipt:
    two = Two()
    packeter = Packeter(two.network.link("old"))
    two.connect(two.network.links["old"])
    for frame in (struct.pack("!BI", 0, 1), b"\x02bob"):
        packeter.send_packet(two.network.links["old"].connections[0], frame)
    two.network.run_until_idle()
    return two.post()


def full() -> Receipt:
    two = Two(QueueLimits(1))
    two.post()
    return two.post()


def storage_fails() -> Receipt:
    two = Two()
    two.storage.fails = True
    return two.post(flags=FLAG_PERSISTENT)


def before_the_end() -> Receipt:
    link = Link()
    receipt = Messaging("alice", "", Packeter(link)).post("bob", Message(b"x", 60))
    link.cleanup()
    return receipt


def after_the_end() -> Receipt:
    link = Link()
    messaging = Messaging("alice", "", Packeter(link))
    link.cleanup()
    return messaging.post("bob", Message(b"x", 60))


SITUATIONS: dict[str, Callable[[], Receipt]] = {
    "the message is posted, and the loop has not seen it yet": not_seen_yet,
    "the message is persistent, and the storage has not answered yet": not_stored_yet,
    "the peer is away": peer_is_away,
    "the system has taken the message over, and the peer has not processed it yet": taken_over,
    "the connection breaks after that, and the message waits for the next one": cut_off,
    "the peer has processed the message": processed,
    "the peer has rejected the message": rejected,
    "the ttl runs out": expired,
    "the ttl is 0, and the peer is away": absent,
    "the peer runs 1.6, and the system has taken the message over": to_an_old_peer,
    "the link is cleaned up before the message is acknowledged": before_the_end,
    "the queue is full": full,
    "the storage fails": storage_fails,
    "the link was cleaned up before": after_the_end,
}


def test_the_page_has_these_situations_and_no_others() -> None:
    assert set(TABLE) == set(SITUATIONS)


@pytest.mark.parametrize("what", SITUATIONS)
def test_a_receipt_tells_what_the_page_says(what: str) -> None:
    receipt = SITUATIONS[what]()
    assert receipt.state is TABLE[what]
    has_failed = TABLE[what].value in ("dropped", "unconfirmed", "failed")
    assert (receipt.error is not None) == has_failed
