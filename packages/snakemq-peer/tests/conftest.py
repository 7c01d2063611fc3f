"""Two peers, in memory or with real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import settings
from in_memory import InMemory
from real_peers import PATIENCE, MakePeer

from snakemq.link.testing import MemoryNetwork
from snakemq.peer import Peer

# No deadline: machines that run tests are busy. Derandomized: a failure belongs to the change.
settings.register_profile("peer", deadline=None, derandomize=True, max_examples=200)
settings.load_profile("peer")


@pytest.fixture
def network() -> Iterator[MemoryNetwork]:
    """Whatever a test does, nothing may be raised as far as the link, and so its loop."""
    network = MemoryNetwork()
    yield network
    assert network.errors == []


@pytest.fixture
def pair(network: MemoryNetwork) -> tuple[InMemory, InMemory]:
    """Two that are connected."""
    alice, bob = InMemory(network, "alice"), InMemory(network, "bob")
    network.connect(alice.link, bob.link)
    network.run_until_idle()
    return alice, bob


@pytest.fixture
def make_peer() -> Iterator[MakePeer]:
    """Make real peers, which are closed in the end."""
    with ExitStack() as opened:

        def make(ident: str, **settings: Any) -> Peer:
            return opened.enter_context(Peer(ident, **{"close_timeout": 0.0} | settings))

        yield make


@pytest.fixture
def alice(make_peer: MakePeer) -> Peer:
    """A peer that listens nowhere."""
    return make_peer("alice")


@pytest.fixture
def bob(make_peer: MakePeer, alice: Peer) -> Peer:
    """A peer that is connected with alice."""
    bob = make_peer("bob")
    alice.connect(bob.listen("tcp://127.0.0.1:0"))
    alice.wait_for("bob", PATIENCE)
    bob.wait_for("alice", PATIENCE)
    return bob
