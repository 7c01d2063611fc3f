"""A storage that fails while a backlog is read, swept or deleted: nothing is lost or repeated."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from memory_peers import MakePeer, Peer
from watched_storage import WatchedStorage

from snakemq.exceptions import StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT
from snakemq.messaging._outgoing._queue import _queue
from snakemq.messaging._outgoing._stored import _pages
from snakemq.messaging._patience import FIRST_DELAY, MAX_DELAY

IN_MEMORY = 10
PAGE = 4
MANY = 100

DELAYS = [FIRST_DELAY * 2**n for n in range(6)] + [MAX_DELAY] * 3
"""Seconds between attempts."""


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_queue, "MAX_MESSAGES_IN_MEMORY", IN_MEMORY)
    monkeypatch.setattr(_pages, "PAGE_MESSAGES", PAGE)


@pytest.fixture
def storage(network: MemoryNetwork) -> WatchedStorage:
    return WatchedStorage(network)


@pytest.fixture
def alice(peer: MakePeer, storage: WatchedStorage) -> Peer:
    return peer("alice", storage)


def numbers(count: int, begin: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(begin, begin + count)]


def send(
    peer: Peer, texts: Sequence[bytes], ttl: float | None = None, ident: str = "bob"
) -> list[bytes]:
    return [peer.send(ident, text, ttl, FLAG_PERSISTENT) for text in texts]


def gaps(times: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


def test_page_that_cannot_be_read_is_tried_again_later_and_later(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    send(alice, numbers(MANY))
    network.run_until_idle()
    storage.failing = {"get_page"}
    alice.connect(bob)
    network.advance(sum(DELAYS))
    assert bob.heard == numbers(IN_MEMORY)
    assert gaps(storage.times("get_page")) == pytest.approx(DELAYS)
    assert alice.kinds_of_errors == [StorageError] * len(storage.failures)
    assert {conn_id for conn_id, _ in alice.errors} == {None}
    storage.failing = set()
    network.advance(MAX_DELAY + 1)
    assert bob.heard == numbers(MANY)
    assert storage.get_queues() == []
    assert len(alice.connected) == len(bob.connected) == 1
    assert alice.disconnected == alice.dropped == []


@pytest.mark.parametrize("method", ["get_page", "delete"])
def test_failure_is_in_the_log_too(
    network: MemoryNetwork,
    alice: Peer,
    bob: Peer,
    storage: WatchedStorage,
    caplog: pytest.LogCaptureFixture,
    method: str,
) -> None:
    send(alice, numbers(MANY))
    storage.failing = {method}
    alice.connect(bob)
    network.advance(1)
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == len(alice.errors) > 0
    assert {record.name for record in errors} == {"snakemq.messaging"}
    assert errors[0].getMessage() == f"the storage failed: {method}: the disk is full"


def test_delay_begins_anew_after_a_success(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    send(alice, numbers(MANY))
    network.run_until_idle()
    storage.failing = {"get_page"}
    alice.connect(bob)
    network.advance(30)
    storage.failing = set()
    network.advance(MAX_DELAY)
    network.disconnect(alice.link.connections[0])
    network.advance(1)
    send(alice, numbers(MANY, MANY))
    network.run_until_idle()
    storage.failing = {"get_page"}
    storage.failures.clear()
    alice.connect(bob)
    network.advance(1)
    assert gaps(storage.times("get_page"))[:3] == pytest.approx(DELAYS[:3])
    storage.failing = set()
    network.advance(MAX_DELAY)
    assert bob.heard == numbers(2 * MANY)


def test_other_messages_flow_while_a_page_cannot_be_read(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer, storage: WatchedStorage
) -> None:
    carol = peer("carol")
    send(alice, numbers(MANY))
    network.run_until_idle()
    storage.failing = {"get_page", "push", "delete"}
    alice.connect(bob)
    alice.connect(carol)
    for text in numbers(MANY):
        with pytest.raises(StorageError):
            alice.send("carol", text, None, FLAG_PERSISTENT)
        alice.send("carol", text)
        bob.send("alice", text)
        alice.send("bob", text)  # behind the backlog
        network.advance(0.1)
    assert carol.heard == alice.heard == numbers(MANY)
    assert bob.heard == numbers(IN_MEMORY)
    storage.failing = set()
    network.advance(MAX_DELAY)
    assert bob.heard == numbers(MANY) * 2
    assert storage.get_queues() == []


def test_peers_take_turns_after_a_failure(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, storage: WatchedStorage
) -> None:
    """One attempt for all of them, not one for each."""
    peers = [peer(f"peer {n}") for n in range(5)]
    for other in peers:
        send(alice, numbers(MANY), ident=other.ident)
    network.run_until_idle()
    storage.failing = {"get_page"}
    for other in peers:
        alice.connect(other)
    network.advance(sum(DELAYS))
    assert gaps(storage.times("get_page")) == pytest.approx(DELAYS)
    storage.failing = set()
    network.advance(MAX_DELAY)
    assert [other.heard for other in peers] == [numbers(MANY)] * 5


@pytest.mark.parametrize("is_back", [False, True])
def test_peer_may_leave_and_come_back_while_the_storage_fails(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage, is_back: bool
) -> None:
    send(alice, numbers(MANY))
    network.run_until_idle()
    storage.failing = {"get_page", "delete"}
    for _ in range(5):
        at_alice, _ = alice.connect(bob)
        network.advance(3)
        network.disconnect(at_alice)
        network.advance(3)
    if is_back:
        alice.connect(bob)
        storage.failing = set()
        network.advance(MAX_DELAY)
    else:
        storage.failing = set()
        network.advance(MAX_DELAY)
        alice.connect(bob)
    network.advance(1)
    assert bob.heard == numbers(MANY)
    assert storage.get_queues() == []
    assert alice.dropped == []


def test_failed_deletion_is_tried_again_and_delivery_goes_on(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    send(alice, numbers(MANY))
    network.run_until_idle()
    storage.failing = {"delete"}
    alice.connect(bob)
    network.advance(sum(DELAYS))
    assert bob.heard == numbers(MANY)
    assert storage.texts() == numbers(MANY)
    assert gaps(storage.times("delete"))[:8] == pytest.approx(DELAYS[:8])
    assert alice.kinds_of_errors == [StorageError] * len(storage.failures)
    storage.failing = set()
    network.advance(MAX_DELAY)
    assert storage.get_queues() == []
    assert bob.heard == numbers(MANY)


def test_disconnections_do_not_ask_a_failing_storage_more_often(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    send(alice, numbers(5))
    storage.failing = {"delete"}
    alice.connect(bob)
    for _ in range(300):
        network.disconnect(alice.link.connections[0])
        network.run_until_idle()
        alice.connect(bob)
        network.advance(0.1)
    assert len(storage.failures) <= len(DELAYS) + 30 / MAX_DELAY
    storage.failing = set()
    network.advance(MAX_DELAY)
    assert storage.get_queues() == []
    assert bob.heard == numbers(5)


def test_sweep_that_fails_is_tried_again_later_and_later(
    network: MemoryNetwork, alice: Peer, storage: WatchedStorage
) -> None:
    send(alice, numbers(MANY))
    mortal = send(alice, [b"mortal"] * MANY, ttl=10)
    network.advance(9)
    storage.failing = {"get_page"}
    network.advance(1 + sum(DELAYS))
    assert gaps(storage.times("get_page")) == pytest.approx(DELAYS)
    assert alice.kinds_of_errors == [StorageError] * len(storage.failures)
    assert alice.dropped == []
    storage.failing = set()
    network.advance(MAX_DELAY + 10)
    assert alice.dropped == [("bob", uuid) for uuid in mortal]
    assert storage.texts() == numbers(MANY)


def test_expired_messages_are_reported_once_though_they_cannot_be_deleted(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    send(alice, numbers(MANY))
    mortal = send(alice, [b"mortal"] * MANY, ttl=10)
    storage.failing = {"delete"}
    for _ in range(20):
        network.advance(10)
        send(alice, [b"short"], ttl=1)  # so it is swept again and again
    assert alice.dropped[:MANY] == [("bob", uuid) for uuid in mortal]
    assert len(alice.dropped) == len(set(alice.dropped))
    alice.connect(bob)
    network.advance(20)
    assert bob.heard[:MANY] == numbers(MANY)
    storage.failing = set()
    network.advance(30)
    assert storage.get_queues() == []
    assert len(alice.dropped) == len(set(alice.dropped))
    assert len(alice.dropped) + len(bob.heard) == 2 * MANY + 20


def test_storage_that_fails_now_and_then_loses_and_repeats_nothing() -> None:
    for seed in range(5):
        network = MemoryNetwork(seed, latency=(0.0, 0.01))
        storage = WatchedStorage(network)
        alice, bob = Peer(network, "alice", storage), Peer(network, "bob", window_messages=7)
        network.keep_connected(alice.link, "bob", 0.5)
        accepted: list[bytes] = []
        for step in range(150):
            methods = ["push", "get_page", "delete"]
            storage.failing = {m for m in methods if network.random.random() < 0.4}
            for n in range(10):
                try:
                    text = b"%d %d" % (step, n)
                    is_durable = network.random.random() < 0.8
                    alice.send("bob", text, None, FLAG_PERSISTENT * is_durable)
                    accepted.append(text)
                except StorageError:
                    pass
            network.advance(network.random.uniform(0, 0.3))
            if network.random.random() < 0.1 and alice.link.connections:
                network.disconnect(alice.link.connections[0])
        storage.failing = set()
        network.advance(30)
        assert bob.heard == accepted, seed
        assert storage.get_queues() == []
        assert alice.dropped == []
        assert network.errors == []


def test_callback_of_an_error_may_close_the_connection(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    send(alice, numbers(MANY))
    network.run_until_idle()
    storage.failing = {"get_page"}

    def close(*_: object) -> None:
        for conn_id in alice.link.connections:
            alice.link.close(conn_id)

    alice.messaging.on_error.add(close)
    alice.connect(bob)
    network.advance(1)
    assert alice.disconnected
    assert alice.link.connections == ()
    storage.failing = set()
    network.advance(10)
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == numbers(MANY)
    assert storage.get_queues() == []
