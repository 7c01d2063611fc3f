"""Messages that are larger than what the peer takes today."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest
from memory_peers import MakePeer, MakeRawPeer, Peer, features, identification
from watched_storage import WatchedStorage

from snakemq.exceptions import SnakeMQMessageTooLarge
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT
from snakemq.messaging import QueueLimits, WhenFull
from snakemq.messaging._outgoing._queue import _aside

SMALL = 1000
LARGE = b"x" * SMALL
SOON = 0.1


@pytest.fixture
def storage(network: MemoryNetwork) -> WatchedStorage:
    return WatchedStorage(network)


@pytest.fixture
def keeper(peer: MakePeer, storage: WatchedStorage) -> Peer:
    """A peer with a storage."""
    return peer("keeper", storage)


def reconnect(network: MemoryNetwork, alice: Peer, peer: MakePeer, limit: int) -> Peer:
    for conn_id in list(alice.link.connections):
        alice.link.close(conn_id)
    network.run_until_idle()
    bob: Peer = peer("bob", name=f"bob again {limit} {len(alice.connected)}", max_packet_size=limit)
    alice.connect(bob)
    network.advance(SOON)
    return bob


@pytest.mark.parametrize("flags", [0, FLAG_PERSISTENT])
def test_it_is_kept_and_offered_when_the_peer_takes_it(
    network: MemoryNetwork, keeper: Peer, storage: WatchedStorage, peer: MakePeer, flags: int
) -> None:
    keeper.send("bob", LARGE, flags=flags)
    keeper.send("bob", b"fits", flags=flags)
    bob = reconnect(network, keeper, peer, SMALL)
    assert bob.heard == [b"fits"]
    assert keeper.dropped == []
    assert keeper.kinds_of_errors == [SnakeMQMessageTooLarge]
    if flags:
        assert storage.texts() == [LARGE]
    bob = reconnect(network, keeper, peer, 10 * SMALL)
    assert bob.heard == [LARGE]
    assert storage.get_queues() == []


def test_a_limit_that_is_lowered_later_is_told_on_the_next_connection(
    network: MemoryNetwork, keeper: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", max_packet_size=10 * SMALL)
    keeper.connect(bob)
    bob.packeter.max_packet_size = SMALL
    keeper.send("bob", LARGE)
    network.advance(SOON)
    assert bob.heard == [LARGE], "this connection was told another limit"

    keeper.link.close(keeper.connected[0][0])
    network.run_until_idle()
    keeper.connect(bob)
    keeper.send("bob", LARGE)
    network.advance(SOON)
    assert bob.heard == [LARGE]
    assert keeper.kinds_of_errors == [SnakeMQMessageTooLarge]
    assert bob.disconnected == bob.connected[:1], "nobody was cut off for a limit it did not know"


def test_it_is_shown_in_the_stats_while_it_waits(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    alice.send("bob", LARGE)
    alice.send("bob", LARGE)
    reconnect(network, alice, peer, SMALL)
    figures = alice.messaging.stats().peers["bob"]
    assert (figures.queued, figures.queued_bytes, figures.too_large) == (2, 2 * SMALL, 2)
    assert figures.oldest_age is not None
    assert figures.in_flight == 0
    reconnect(network, alice, peer, 10 * SMALL)
    figures = alice.messaging.stats().peers["bob"]
    assert (figures.queued, figures.too_large, figures.delivered) == (0, 0, 2)


def test_it_is_reported_once_however_often_the_peer_comes(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, caplog: pytest.LogCaptureFixture
) -> None:
    alice.send("bob", LARGE)
    for _ in range(3):
        reconnect(network, alice, peer, SMALL)
    assert alice.kinds_of_errors == [SnakeMQMessageTooLarge]
    assert "kept" in str(alice.errors[0][1])
    lines = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(lines) == 1
    assert "'bob' takes messages of up to 975 bytes: 1 larger" in lines[0].getMessage()


def test_it_comes_late_but_overtakes_nothing(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = reconnect(network, alice, peer, SMALL)
    network.stall(bob.connected[0][0])
    alice.send("bob", b"1")
    alice.send("bob", b"2" + LARGE)
    alice.send("bob", b"3")
    alice.send("bob", b"4" + LARGE)
    network.run_until_idle()
    bob = reconnect(network, alice, peer, 10 * SMALL)
    assert [data[:1] for data in bob.heard] == [b"1", b"3", b"2", b"4"]


def test_it_expires_where_it_was_set_aside(
    network: MemoryNetwork, keeper: Peer, storage: WatchedStorage, peer: MakePeer
) -> None:
    uuid = keeper.send("bob", LARGE, ttl=5, flags=FLAG_PERSISTENT)
    reconnect(network, keeper, peer, SMALL)
    network.advance(4)
    assert keeper.dropped == []
    network.advance(1)
    assert keeper.dropped == [("bob", uuid)]
    network.advance(SOON)
    assert storage.get_queues() == []
    assert keeper.messaging.stats().peers["bob"].queued == 0


def test_what_was_set_aside_is_the_oldest_in_a_full_queue(
    network: MemoryNetwork, peer: MakePeer
) -> None:
    limits = QueueLimits(peer_messages=2, when_full=WhenFull.DROP_OLDEST)
    alice: Peer = peer("limited", queue_limits=limits)
    oldest = alice.send("bob", LARGE)
    reconnect(network, alice, peer, SMALL)
    network.stall(alice.connected[0][0])
    alice.send("bob", b"1")
    alice.send("bob", b"2")
    network.run_until_idle()
    assert alice.dropped == [("bob", oldest)]


@pytest.mark.parametrize("limit", [0, 1, 24, 25, 26, 100])
def test_a_peer_that_takes_next_to_nothing_costs_no_message(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, peer: MakePeer, limit: int
) -> None:
    for number in range(50):
        alice.send("bob", b"%02d" % number + bytes(100))
    bob = raw()
    bob.connect(alice)
    bob.say(features(max_packet_size=limit, bits=1), identification("bob"))
    assert bob.heard == []
    assert alice.dropped == []
    bob.link.close(bob.conn_id)
    network.run_until_idle()
    honest = reconnect(network, alice, peer, 10 * SMALL)
    assert [data[:2] for data in honest.heard] == [b"%02d" % number for number in range(50)]


def test_the_loop_serves_others_while_many_are_set_aside(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    removed: list[int] = []
    reported: list[object] = []
    alice.messaging.on_error.add(lambda conn_id, exc: reported.append(exc))
    alice.link.on_loop_pass.add(lambda: removed.append(len(reported)))
    for _ in range(5000):
        alice.send("bob", b"data", ttl=60)
    bob = raw()
    bob.connect(alice)
    bob.say(features(max_packet_size=0, bits=1), identification("bob"))
    assert len(reported) == 5000
    assert max(b - a for a, b in pairwise(removed)) <= 2000
    assert len({*removed}) >= 3


def test_the_memory_for_them_is_bounded_and_the_others_wait(
    network: MemoryNetwork,
    keeper: Peer,
    storage: WatchedStorage,
    peer: MakePeer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_aside, "MAX_MESSAGES_ASIDE", 3)
    for number in range(5):
        keeper.send("bob", b"%d" % number + LARGE, flags=FLAG_PERSISTENT)
    keeper.send("bob", b"behind")
    bob = reconnect(network, keeper, peer, SMALL)
    figures = keeper.messaging.stats().peers["bob"]
    assert (figures.queued, figures.too_large) == (6, 3)
    assert bob.heard == []
    bob = reconnect(network, keeper, peer, 10 * SMALL)
    assert [data[:1] for data in bob.heard] == [b"0", b"1", b"2", b"3", b"4", b"b"]


def test_those_that_wait_behind_go_on_when_one_expires(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_aside, "MAX_MESSAGES_ASIDE", 1)
    alice.send("bob", LARGE, ttl=5)
    alice.send("bob", LARGE, ttl=60)
    alice.send("bob", b"behind")
    bob = reconnect(network, alice, peer, SMALL)
    assert bob.heard == []
    network.advance(5)
    assert bob.heard == [b"behind"]


def test_a_long_backlog_is_not_read_for_a_peer_that_takes_nothing_of_it(
    network: MemoryNetwork,
    storage: WatchedStorage,
    peer: MakePeer,
    raw: MakeRawPeer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_aside, "MAX_MESSAGES_ASIDE", 2000)
    earlier: Peer = peer("keeper", storage)
    for number in range(10_000):
        earlier.send("bob", b"%d" % number, flags=FLAG_PERSISTENT)
    later = storage.restarted()
    keeper: Peer = peer("keeper", later, name="keeper again")
    bob = raw()
    bob.connect(keeper)
    bob.say(features(max_packet_size=0, bits=1), identification("bob"))
    assert later.calls["get_page"] <= 4
    assert keeper.messaging.stats().peers["bob"].queued == 10_000
    bob.link.close(bob.conn_id)
    network.run_until_idle()
    honest = reconnect(network, keeper, peer, 10 * SMALL)
    network.advance(SOON)
    assert honest.heard == [b"%d" % number for number in range(10_000)]
