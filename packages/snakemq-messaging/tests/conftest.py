"""One memory network for each test, and peers on it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from held_storage import Held
from hypothesis import settings
from memory_peers import MakePeer, MakeRawPeer, Peer, RawPeer

from snakemq.link.testing import MemoryNetwork
from snakemq.messaging import Messaging

# No deadline: machines that run tests are busy. Derandomized: a failure belongs to the change.
settings.register_profile("messaging", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("messaging")


@pytest.fixture
def network() -> Iterator[MemoryNetwork]:
    """Whatever a test does, nothing may be raised as far as the link, and so its loop."""
    network = MemoryNetwork()
    yield network
    assert network.errors == []


@pytest.fixture
def peer(network: MemoryNetwork) -> MakePeer:
    return partial(Peer, network)


@pytest.fixture
def raw(network: MemoryNetwork) -> MakeRawPeer:
    return partial(RawPeer, network)


@pytest.fixture
def alice(peer: MakePeer) -> Peer:
    return peer("alice")


@pytest.fixture
def bob(peer: MakePeer) -> Peer:
    return peer("bob")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """The storage thread of all stacks that the test makes."""
    held = Held()
    monkeypatch.setattr(Messaging, "_runner_of", staticmethod(lambda storage: held))
    return held
