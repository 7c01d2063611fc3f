"""Threads put messages into queues while the loop looks at them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from memory_peers import MakePeer, Peer

from snakemq.exceptions import QueueFull, SnakeMQMessageTooLarge
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.message._stack import claim
from snakemq.messaging import Messaging, QueueLimits, WhenFull
from snakemq.packeter import Packeter


class Interposing(deque[Any]):
    """A deque with something that happens right behind an append."""

    happens: Callable[[], object] = staticmethod(lambda: None)

    def append(self, item: Any) -> None:
        super().append(item)
        self.happens()


def interpose(peer: Peer, ident: str) -> Interposing:
    """Let what is sent to a peer come in through this deque."""
    incoming = Interposing()
    peer.messaging._wings.outgoing._queues.get(ident).incoming = incoming
    return incoming


def test_loop_that_is_faster_than_the_wake_up_is_woken_for_the_next_message(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    incoming = interpose(alice, "bob")
    incoming.happens = network.run_until_idle
    alice.send("bob", b"taken before the thread has woken the loop")
    incoming.happens = lambda: None
    alice.send("bob", b"the next one")
    network.run_until_idle()
    assert bob.heard == [b"taken before the thread has woken the loop", b"the next one"]


def test_queue_that_is_forgotten_in_the_moment_of_sending_loses_nothing(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    queues = alice.messaging._wings.outgoing._queues
    old = queues.get("bob")
    with pytest.MonkeyPatch.context() as patch:
        # the thread has this queue in its hands already
        patch.setattr(alice.messaging, "_queue_of", lambda ident: old)
        queues.forget_if_empty(old)
        alice.send("bob", b"first")
    assert queues.get("bob") is not old
    assert not old.incoming
    alice.send("bob", b"second")
    alice.connect(bob)
    assert bob.heard == [b"first", b"second"]


def test_queue_that_was_just_sent_to_is_not_forgotten(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    queues = alice.messaging._wings.outgoing._queues
    queue = queues.get("bob")

    class JustNow(deque[Any]):
        """Empty at the first look, and not at the second."""

        looks = 0

        def __bool__(self) -> bool:
            self.looks += 1
            if self.looks == 1:
                self.append(claim(Message(b"just now", None), "bob"))
                return False
            return len(self) > 0

    queue.incoming = JustNow()
    queues.forget_if_empty(queue)
    assert queues.get("bob") is queue
    assert not queue.is_forgotten


def test_message_that_is_too_large_does_not_hold_up_those_behind_it(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    small = peer("small", max_packet_size=1000)
    alice.connect(small)
    for _ in range(3):
        alice.send("small", bytes(2 * 1024 * 1024))
    alice.send("small", b"fits")
    network.run_until_idle()
    assert small.heard == [b"fits"]
    assert alice.kinds_of_errors == [SnakeMQMessageTooLarge] * 3


def test_interrupted_report_of_a_drop_holds_up_nothing(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    """Ctrl-C in a callback, and the loop is entered again."""
    alice.connect(bob)

    def interrupted(ident: str, uuid: bytes) -> None:
        alice.messaging.on_message_drop.remove(interrupted)
        raise KeyboardInterrupt

    alice.messaging.on_message_drop.add(interrupted)
    alice.send("nobody", b"dropped", ttl=0)
    alice.send("bob", b"delivered")
    with pytest.raises(KeyboardInterrupt):
        network.run_until_idle()
    network.run_until_idle()
    assert bob.heard == [b"delivered"]


def test_full_stack_refuses_and_does_not_drop_messages_for_other_peers(
    network: MemoryNetwork,
) -> None:
    limits = QueueLimits(total_messages=10, when_full=WhenFull.DROP_OLDEST)
    messaging = Messaging("alice", "", Packeter(network.link("alice")), queue_limits=limits)
    dropped: list[str] = []
    messaging.on_message_drop.add(lambda ident, uuid: dropped.append(ident))
    for _ in range(10):
        messaging.send_message("bob", Message(b"", ttl=None))
    with pytest.raises(QueueFull):
        messaging.send_message("carol", Message(b"", ttl=None))
    network.run_until_idle()
    assert dropped == []
    assert messaging.stats().peers["bob"].queued == 10
