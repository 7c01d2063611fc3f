"""Threads that wait for room in a queue: woken when there is some, and never for nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from memory_peers import MakePeer, Peer

from snakemq.exceptions import QueueFull
from snakemq.link import Link
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging, QueueLimits, WhenFull
from snakemq.packeter import Packeter

PATIENCE = 30.0
"""Seconds after which a test has failed; it goes on as soon as it can."""


class Caller(threading.Thread):
    """A thread that sends one message, and notes down what came of it."""

    def __init__(self, peer: Peer, ident: str = "bob") -> None:
        super().__init__(daemon=True)
        self.peer = peer
        self.recipient = ident
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.peer.messaging.send_message(self.recipient, Message(b"late", ttl=None))
        except Exception as exc:
            self.error = exc

    def has_ended(self) -> bool:
        return not self.is_alive()


def blocking(make_peer: MakePeer, **limits: object) -> Peer:
    limits = {"peer_messages": 1, "when_full": WhenFull.BLOCK, "timeout": PATIENCE, **limits}
    return make_peer("alice", queue_limits=QueueLimits(**limits))  # type: ignore[arg-type]


def wait_until_blocked(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """What is returned waits until a thread waits for room."""
    occupancy = peer.messaging._wings.occupancy
    assert occupancy is not None
    condition = occupancy._changed
    waits = threading.Semaphore(0)
    wait = condition.wait

    def noticed(timeout: float | None = None) -> bool:
        waits.release()  # it holds the lock, so nothing can change before it sleeps
        return wait(timeout)

    monkeypatch.setattr(condition, "wait", noticed)

    def until_blocked() -> None:
        assert waits.acquire(timeout=PATIENCE)

    return until_blocked


def acknowledged(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    network.run_until_idle()


def expired(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    network.advance(60)


def limit_raised(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.messaging.set_queue_limits("bob", QueueLimits(peer_messages=2))


@pytest.mark.parametrize("make_room", [acknowledged, expired, limit_raised])
def test_waiting_thread_goes_on_when_there_is_room(
    network: MemoryNetwork,
    peer: MakePeer,
    bob: Peer,
    monkeypatch: pytest.MonkeyPatch,
    make_room: Callable[[MemoryNetwork, Peer, Peer], None],
) -> None:
    alice = blocking(peer)
    until_blocked = wait_until_blocked(alice, monkeypatch)
    alice.send("bob", b"first", ttl=50)
    network.run_until_idle()
    caller = Caller(alice)
    caller.start()
    until_blocked()
    assert caller.is_alive()
    make_room(network, alice, bob)
    caller.join(PATIENCE)
    assert caller.has_ended()
    assert caller.error is None


def test_waiting_ends_with_the_timeout(peer: MakePeer) -> None:
    alice = blocking(peer, timeout=0.05)
    alice.send("bob", ttl=None)
    begin = time.monotonic()
    with pytest.raises(QueueFull, match=r"no room in the queue of 'bob' for 0\.0"):
        alice.send("bob", ttl=None)
    assert time.monotonic() - begin >= 0.05


def test_a_send_in_the_loop_does_not_wait_for_room(network: MemoryNetwork, peer: MakePeer) -> None:
    """Nobody else could make room."""
    alice = blocking(peer, timeout=None)
    errors: list[Exception] = []

    def send() -> None:
        try:
            alice.send("bob", ttl=None)
        except QueueFull as exc:
            errors.append(exc)

    for _ in range(2):
        alice.link.call_later(1, send)
    network.advance(2)
    assert len(errors) == 1


def test_thread_that_waits_for_one_peer_holds_up_no_other(
    peer: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = blocking(peer)
    until_blocked = wait_until_blocked(alice, monkeypatch)
    alice.send("bob", ttl=None)
    caller = Caller(alice)
    caller.start()
    until_blocked()
    alice.send("carol", ttl=None)
    alice.messaging.set_queue_limits("bob", QueueLimits(peer_messages=2))
    caller.join(PATIENCE)
    assert caller.has_ended()


@pytest.fixture
def links() -> Iterator[list[Link]]:
    """Links whose loops run; they are ended whatever happens."""
    links = [Link(), Link()]
    yield links
    for link in links:
        link.cleanup()


@pytest.mark.parametrize(
    "limits",
    [
        QueueLimits(peer_messages=1, when_full=WhenFull.BLOCK, timeout=PATIENCE),
        QueueLimits(total_messages=7, when_full=WhenFull.BLOCK, timeout=PATIENCE),
        QueueLimits(total_bytes=200, when_full=WhenFull.BLOCK, timeout=PATIENCE),
    ],
    ids=["one message", "seven in all", "bytes"],
)
def test_no_wake_up_is_lost_with_many_threads(links: list[Link], limits: QueueLimits) -> None:
    """Each of these sends waits for others' acks; one that is forgotten ends in QueueFull."""
    threads, each = 8, 150
    alice = Messaging("alice", "", Packeter(links[0]), queue_limits=limits)
    bob = Messaging("bob", "", Packeter(links[1]))
    received: list[bytes] = []
    most: list[int] = []
    complete = threading.Event()

    def take(conn_id: str, ident: str, message: Message) -> None:
        received.append(message.data)
        peer = alice.stats().peers.get("bob")
        if peer is not None:
            most.append(peer.queued + peer.in_flight)
        if len(received) == threads * each:
            complete.set()

    bob.on_message_recv.add(take)
    links[0].add_connector(links[1].add_listener(("127.0.0.1", 0)), reconnect_interval=0.05)
    errors: list[Exception] = []

    def send(thread: int) -> None:
        try:
            for number in range(each):
                data = b"%d:%d:" % (thread, number)
                alice.send_message("bob", Message(data + b"x" * (number % 90), ttl=None))
        except Exception as exc:
            errors.append(exc)

    for link in links:
        threading.Thread(target=link.loop, daemon=True).start()
    senders = [threading.Thread(target=send, args=(n,), daemon=True) for n in range(threads)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(2 * PATIENCE)
        assert not sender.is_alive()
    assert errors == []
    assert complete.wait(PATIENCE)
    for thread in range(threads):
        numbers = [int(d.split(b":")[1]) for d in received if d.startswith(b"%d:" % thread)]
        assert numbers == [*range(each)]
    if limits.peer_messages:
        assert max(most) <= 1
