"""Threads that wait until everything is acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from held_storage import Held
from memory_peers import MakePeer, MakeRawPeer, Peer, restart

from snakemq.exceptions import LoopError
from snakemq.link import Link
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging
from snakemq.messaging._incoming._acks import ACK_DELAY
from snakemq.messaging._outgoing._queue._queue import MAX_MESSAGES_IN_MEMORY
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage

PATIENCE = 30.0
"""Seconds after which a test has failed; it goes on as soon as it can."""


class Caller(threading.Thread):
    """A thread that drains a peer. It has told the loop so when this is made."""

    def __init__(self, peer: Peer, *, everybody: bool = False) -> None:
        super().__init__(daemon=True)
        self.left: int | None = None
        self._peer = peer
        self._everybody = everybody
        errands = peer.messaging._wings.outgoing._errands
        self._asked = threading.Event()
        give = errands.give

        def noticed(errand: Callable[[], object]) -> None:
            give(errand)
            self._asked.set()

        errands.give = noticed  # type: ignore[method-assign]
        self.start()
        assert self._asked.wait(PATIENCE)
        peer.network.run_until_idle()

    def run(self) -> None:
        self.left = self._peer.messaging.drain(PATIENCE, everybody=self._everybody)

    def result(self) -> int | None:
        self.join(PATIENCE)
        assert not self.is_alive()
        return self.left

    @property
    def waits(self) -> bool:
        return bool(self._peer.messaging._wings.outgoing.drains._drains)


@pytest.fixture
def bob(peer: MakePeer) -> Peer:
    return peer("bob", manual_ack=True)


def acknowledge(peer: Peer) -> None:
    for _, _, message in peer.received:
        peer.messaging.ack(message)
    peer.received.clear()
    peer.network.run_until_idle()


def test_drain_of_empty_queues_ends_at_once(alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    assert Caller(alice).result() == 0
    assert not alice.messaging.packeter.link.on_loop_pass.callbacks.count(
        alice.messaging._wings.outgoing.drains._look
    )


def test_drain_waits_for_what_is_in_flight(alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    alice.send("bob", b"x", ttl=None)
    caller = Caller(alice)
    assert caller.waits
    acknowledge(bob)
    assert caller.result() == 0


def test_drain_waits_for_what_the_loop_has_not_seen_yet(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    alice.send("bob", b"x", ttl=None)
    assert alice.messaging.stats().unread_outbox == 1
    caller = Caller(alice)
    assert bob.heard == [b"x"]
    assert caller.waits
    acknowledge(bob)
    assert caller.result() == 0


def test_drain_waits_for_a_large_message_that_is_on_its_way(alice: Peer, bob: Peer) -> None:
    _, conn_id = alice.connect(bob)
    alice.network.stall(conn_id)
    alice.send("bob", bytes(10 * 1024 * 1024))
    caller = Caller(alice)
    assert caller.waits
    queue = alice.messaging._wings.outgoing.outbox.queue_of("bob")
    assert queue is not None
    assert not queue.in_flight
    alice.network.unstall(conn_id)
    alice.network.run_until_idle()
    acknowledge(bob)
    assert caller.result() == 0


def test_drain_waits_for_what_does_not_fit_into_the_window(alice: Peer, peer: MakePeer) -> None:
    bob = peer("bob", manual_ack=True, window_messages=2)
    alice.connect(bob)
    for _ in range(5):
        alice.send("bob", b"x", ttl=None)
    caller = Caller(alice)
    for _ in range(3):
        assert caller.waits
        acknowledge(bob)
    assert caller.result() == 0


def test_drain_waits_for_a_backlog_that_is_in_the_storage(peer: MakePeer, bob: Peer) -> None:
    storage = MemoryQueuesStorage()
    count = MAX_MESSAGES_IN_MEMORY + 10
    first = peer("alice", storage)
    first.messaging.send_messages(
        "bob", [Message(b"x", ttl=None, flags=FLAG_PERSISTENT) for _ in range(count)]
    )
    alice = peer("alice", restart(storage), name="later")
    alice.connect(bob)
    caller = Caller(alice)
    arrived = 0
    while bob.received:
        assert caller.waits
        arrived += len(bob.received)
        acknowledge(bob)
    assert arrived == count
    assert caller.result() == 0


def test_drain_waits_for_what_was_posted_and_is_not_stored_yet(
    held: Held, peer: MakePeer, bob: Peer
) -> None:
    alice = peer("alice", MemoryQueuesStorage())
    alice.connect(bob)
    held.hangs = True
    alice.messaging.post("bob", Message(b"x", ttl=None, flags=FLAG_PERSISTENT))
    caller = Caller(alice)
    assert caller.waits
    held.hangs = False
    held.go_on()
    alice.network.run_until_idle()
    assert caller.waits
    acknowledge(bob)
    assert caller.result() == 0


def test_drain_waits_for_acks_that_this_side_owes(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    bob.send("alice", b"x", ttl=0)
    network.run_until_idle()
    caller = Caller(alice)
    assert caller.waits
    network.advance(ACK_DELAY)
    assert caller.result() == 0


def test_drain_does_not_wait_for_absent_peers(alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    alice.send("carol", b"x", ttl=None)
    assert Caller(alice).result() == 0


def test_drain_waits_for_absent_peers_when_asked(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.send("bob", b"x", ttl=60)
    alice.send("carol", b"x", ttl=60)
    caller = Caller(alice, everybody=True)
    alice.connect(bob)
    acknowledge(bob)
    assert caller.waits
    network.advance(60)  # carol does not come
    assert caller.result() == 0


def test_drain_counts_what_is_left_for_a_peer_that_has_gone(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    for _ in range(3):
        alice.send("bob", b"x", ttl=None)
    caller = Caller(alice)
    assert caller.waits
    network.crash(bob.link)
    network.run_until_idle()
    assert caller.result() == 3


def test_drain_does_not_wait_for_what_is_too_large(alice: Peer, peer: MakePeer) -> None:
    bob = peer("bob", max_packet_size=100)
    alice.connect(bob)
    alice.send("bob", b"x" * 1000, ttl=None)
    assert Caller(alice).result() == 1


def test_drain_waits_until_the_system_has_it_for_a_1_6_peer(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    bob = raw("bob")
    bob.join(alice, "bob")
    alice.send("bob", b"x", ttl=None)
    assert Caller(alice).result() == 0
    assert bob.heard == [b"x"]


def test_drain_ends_with_the_time_out_and_counts_what_is_left(alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    alice.send("bob", b"x", ttl=None)
    thread_result: list[int] = []
    thread = threading.Thread(target=lambda: thread_result.append(alice.messaging.drain(0)))
    thread.start()
    thread.join(PATIENCE)
    alice.network.run_until_idle()
    assert thread_result == [1]
    assert alice.messaging._wings.outgoing.drains._drains == []


def test_drain_in_the_loop_says_that_it_would_wait_for_itself(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    raised: list[Exception] = []

    def drain(_conn_id: str, _ident: str) -> None:
        try:
            alice.messaging.drain(0)
        except LoopError as exc:
            raised.append(exc)

    alice.messaging.on_connect.add(drain)
    alice.connect(bob)
    assert len(raised) == 1
    assert "another thread" in str(raised[0])


@pytest.mark.parametrize("timeout", [-1, "x"])
def test_drain_refuses_a_wrong_time_out(alice: Peer, timeout: float) -> None:
    with pytest.raises((TypeError, ValueError), match="timeout"):
        alice.messaging.drain(timeout)


class Stack:
    """A stack with a real link, whose loop runs in a thread of its own."""

    def __init__(self, ident: str, **options: object) -> None:
        self.link = Link()
        self.messaging = Messaging(ident, "", Packeter(self.link), **options)  # type: ignore[arg-type]
        self.thread = threading.Thread(target=self.link.loop, name=ident)

    def end(self) -> None:
        self.link.cleanup()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def test_nothing_is_lost_for_a_slow_peer_that_is_drained_first() -> None:
    alice, bob = Stack("alice"), Stack("bob", window_messages=10)
    connected = threading.Event()
    received: list[bytes] = []
    bob.messaging.on_message_recv.add(lambda _c, _i, message: received.append(message.data))
    alice.messaging.on_connect.add(lambda *_: connected.set())
    alice.link.add_connector(bob.link.add_listener(("127.0.0.1", 0)))
    bob.thread.start()
    alice.thread.start()
    try:
        assert connected.wait(PATIENCE)
        for number in range(2000):
            alice.messaging.send_message("bob", Message(b"%d" % number, ttl=None))
        assert alice.messaging.drain(PATIENCE) == 0
        alice.messaging.close()
        alice.end()
        assert received == [b"%d" % number for number in range(2000)]
    finally:
        alice.end()
        bob.end()


def test_cleanup_wakes_up_a_thread_that_drains() -> None:
    alice = Stack("alice")
    alice.thread.start()
    alice.messaging.send_message("bob", Message(b"x", ttl=None))
    asked = threading.Event()
    give = alice.messaging._wings.outgoing._errands.give

    def noticed(errand: Callable[[], object]) -> None:
        give(errand)
        asked.set()

    alice.messaging._wings.outgoing._errands.give = noticed  # type: ignore[method-assign]
    left: list[int] = []
    thread = threading.Thread(
        target=lambda: left.append(alice.messaging.drain(everybody=True)), daemon=True
    )
    thread.start()
    assert asked.wait(PATIENCE)
    alice.end()
    thread.join(PATIENCE)
    assert left == [1]
