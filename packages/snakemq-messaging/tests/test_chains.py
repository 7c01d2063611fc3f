"""Chains of messages: each is sent in answer to the report of the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from lent_links import LendingNetwork, LentLink, in_flight, nobody_asks, sends
from memory_peers import (
    MakePeer,
    Peer,
)

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging._outgoing._express import MAX_CHAIN


@pytest.fixture
def network() -> Iterator[MemoryNetwork]:
    network = LendingNetwork(at_once=True)
    yield network
    assert network.errors == []
    assert not any(link.lent for link in network.links.values() if isinstance(link, LentLink))


@pytest.fixture
def alice(peer: MakePeer) -> Peer:
    return nobody_asks(peer("alice"))


@pytest.fixture
def bob(peer: MakePeer) -> Peer:
    return nobody_asks(peer("bob"))


class Chain:
    """Sends the next message whenever it is told that the last one was sent, or delivered."""

    def __init__(self, peer: Peer, event: str, length: int, *, is_urgent: bool = False) -> None:
        self.peer = peer
        self.sent = 0
        self.told = 0
        self.in_the_end: Callable[[str], object] = lambda conn_id: None
        self.ttl: float | None = None
        self._length = length
        self._is_urgent = is_urgent
        getattr(peer.messaging, event).add(self._go_on)

    def send(self) -> None:
        message = Message(b"%d" % self.sent, self.ttl)
        self.sent += 1
        self.peer.messaging.send_message("bob", message, urgent=self._is_urgent)

    def _go_on(self, conn_id: str, ident: str, uuid: bytes) -> None:
        if ident != "bob":
            return
        self.told += 1
        if self.sent < self._length:
            self.send()
        elif self.told == self._length:
            self.in_the_end(conn_id)


def passes_of(peer: Peer) -> Callable[[], int]:
    passes: list[None] = []
    peer.link.on_loop_pass.add(lambda: passes.append(None))
    return lambda: len(passes)


@pytest.mark.parametrize("capacity", [20, 10_000])
@pytest.mark.parametrize("is_urgent", [True, False])
@pytest.mark.parametrize("event", ["on_message_sent", "on_message_delivered"])
def test_chain_arrives_in_its_order(
    network: MemoryNetwork, alice: Peer, bob: Peer, event: str, is_urgent: bool, capacity: int
) -> None:
    here, _ = alice.connect(bob)
    network.shape(here, capacity=capacity)
    chain = Chain(alice, event, 100, is_urgent=is_urgent)
    chain.send()
    network.advance(1)
    assert chain.told == 100
    assert bob.heard == [b"%d" % number for number in range(100)]
    assert in_flight(alice) == 0


def test_a_chain_of_messages_takes_few_passes(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    chain = Chain(alice, "on_message_sent", 10 * MAX_CHAIN)
    passes = passes_of(alice)
    chain.send()
    network.run_passes(1)
    assert chain.told == MAX_CHAIN
    network.run_until(lambda: chain.told == 10 * MAX_CHAIN)
    assert passes() <= 2 * 10


def test_chain_does_not_hold_up_the_messages_for_others(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer
) -> None:
    carol = peer("carol")
    to_bob, _ = alice.connect(bob)
    to_carol, _ = alice.connect(carol)
    chain = Chain(alice, "on_message_sent", 100)
    moment = len(network.trace)
    chain.send()
    alice.send("carol", b"hello")
    network.advance(1)
    order = sends(alice, moment)
    assert 1 <= order.index(to_carol) <= MAX_CHAIN
    assert order.count(to_bob) >= 100
    assert (len(bob.heard), carol.heard) == (100, [b"hello"])


@pytest.mark.parametrize("ttl", [None, 0])
@pytest.mark.parametrize("sends_more", ["nothing", "before", "after"])
def test_chain_ends_with_its_connection(
    network: MemoryNetwork, alice: Peer, bob: Peer, sends_more: str, ttl: float | None
) -> None:
    alice.connect(bob)
    chain = Chain(alice, "on_message_sent", 5)
    chain.ttl = ttl

    def close(conn_id: str) -> None:
        chain.ttl = None
        if sends_more == "before":
            chain.send()
        alice.link.close(conn_id)
        if sends_more == "after":
            chain.send()

    chain.in_the_end = close
    chain.send()
    network.advance(1)
    assert chain.told == 5
    assert bob.heard == [b"%d" % number for number in range(5)]
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == [b"%d" % number for number in range(chain.sent)]
    assert chain.sent == (5 if sends_more == "nothing" else 6)
    assert in_flight(alice) == 0
