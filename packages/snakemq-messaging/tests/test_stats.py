"""The figures of a stack are those of what has happened."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from importlib import metadata

import pytest
from memory_peers import VERSION, MakePeer, MakeRawPeer, Peer, features, identification

from snakemq.link import Link
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import (
    DropReason,
    Messaging,
    PeerStats,
    QueueLimits,
    Reject,
    WhenFull,
    _stats,
)
from snakemq.packeter import Packeter

PATIENCE = 30.0
"""Seconds after which a test has failed; it goes on as soon as it can."""

NOTHING = PeerStats(
    connected=False,
    connections=0,
    queued=0,
    queued_bytes=0,
    in_flight=0,
    in_flight_bytes=0,
    oldest_age=None,
    sent=0,
    sent_bytes=0,
    resent=0,
    delivered=0,
    dropped={},
    received=0,
    received_bytes=0,
    rejected=0,
    duplicates=0,
    round_trip=None,
)


def of(peer: Peer, ident: str) -> PeerStats:
    return peer.messaging.stats().peers[ident]


def differs(stats: PeerStats, **expected: object) -> dict[str, tuple[object, object]]:
    """Fields that are neither as expected nor, where nothing is, those of a fresh peer."""
    wanted = {**NOTHING._asdict(), **expected}
    found = stats._asdict()
    del found["last_seen"]  # it depends on when acks come
    del found["product"], found["version"]  # they are those of this version
    return {name: (found[name], wanted[name]) for name in found if found[name] != wanted[name]}


def test_story_of_two_peers(network: MemoryNetwork, alice: Peer, peer: MakePeer) -> None:
    bob = peer("bob", manual_ack=True, window_messages=2)
    assert alice.messaging.stats().peers == {}

    alice.send("bob", b"12345", ttl=None)
    stats = alice.messaging.stats()
    assert (stats.unread_outbox, stats.peers) == (1, {})
    assert stats.waiting == 1
    network.advance(1)
    assert alice.messaging.stats().unread_outbox == 0
    assert not differs(of(alice, "bob"), queued=1, queued_bytes=5, oldest_age=1.0)

    for _ in range(2):
        alice.send("bob", b"12345", ttl=None)
    network.advance(1)
    at_alice, _ = alice.connect(bob)
    under_way = {
        "connected": True,
        "connections": 1,
        "queued": 1,
        "queued_bytes": 5,
        "in_flight": 2,
        "in_flight_bytes": 10,
        "oldest_age": 2.0,
        "sent": 2,
        "sent_bytes": 10,
    }
    assert not differs(of(alice, "bob"), **under_way)
    taken = {"connected": True, "connections": 1, "received": 2, "received_bytes": 10}
    assert not differs(of(bob, "alice"), **taken, unacked=2)

    network.disconnect(at_alice)
    network.run_until_idle()
    waiting = {"connections": 1, "queued": 3, "queued_bytes": 15, "sent": 2, "sent_bytes": 10}
    assert not differs(of(alice, "bob"), **waiting, oldest_age=2.0)

    alice.connect(bob)
    again = {"connections": 2, "sent": 4, "sent_bytes": 20, "resent": 2}
    assert not differs(of(alice, "bob"), **{**under_way, **again})
    repeated = {"connections": 2, "received": 4, "received_bytes": 20, "duplicates": 2}
    assert not differs(of(bob, "alice"), **{**taken, **repeated}, unacked=2)

    network.advance(0.5)
    for number in range(3):
        bob.messaging.ack(bob.received[number][2])
        network.run_until_idle()
    finished = {"connected": True, "connections": 2, "resent": 2, "delivered": 3}
    sent = {"sent": 5, "sent_bytes": 25, "round_trip": of(alice, "bob").round_trip}
    assert not differs(of(alice, "bob"), **finished, **sent)
    stats = alice.messaging.stats()
    assert (stats.connections, stats.connected, stats.reconnected) == (1, 2, 1)


def test_one_figure_counts_what_waits_for_all_peers(alice: Peer, peer: MakePeer) -> None:
    bob = peer("bob", manual_ack=True, window_messages=2)
    alice.connect(bob)
    for number in range(3):
        alice.send("bob", b"%d" % number, ttl=None)
    alice.network.run_until_idle()
    alice.send("carol", b"later", ttl=None)
    stats = alice.messaging.stats()
    bob_stats = stats.peers["bob"]
    assert (bob_stats.in_flight, bob_stats.queued, stats.unread_outbox) == (2, 1, 1)
    assert stats.waiting == 4
    alice.network.run_until_idle()
    bob.messaging.ack(bob.received[0][2])
    alice.network.run_until_idle()
    assert alice.messaging.stats().waiting == 3


def reject(*_: object) -> None:
    raise Reject


def test_each_reason_for_a_drop(network: MemoryNetwork, peer: MakePeer) -> None:
    limits = QueueLimits(peer_messages=2, when_full=WhenFull.DROP_OLDEST)
    alice, bob = peer("alice", queue_limits=limits), peer("bob", max_packet_size=100)
    expected: dict[DropReason, int] = {}

    def happened(reason: DropReason) -> None:
        network.run_until_idle()
        expected[reason] = 1
        assert of(alice, "bob").dropped == expected

    alice.send("bob", ttl=0)
    happened(DropReason.ABSENT)
    alice.send("bob", ttl=5)
    network.advance(5)
    happened(DropReason.EXPIRED)
    for _ in range(3):
        alice.send("bob", ttl=None)
    happened(DropReason.QUEUE_FULL)
    at_alice, _ = alice.connect(bob)
    alice.send("bob", b"x" * 100, ttl=0)
    happened(DropReason.TOO_LARGE)
    bob.messaging.on_message_recv.add(reject)
    alice.send("bob", ttl=None)
    happened(DropReason.REJECTED)
    network.stall(at_alice)
    alice.send("bob", ttl=0)
    network.run_until_idle()
    network.disconnect(at_alice)
    happened(DropReason.DISCONNECTED)
    alice.messaging.queue("bob").cancel(alice.send("bob", ttl=None))
    happened(DropReason.PURGED)
    alice.messaging.set_queue_limits("bob", QueueLimits(peer_messages=1))
    alice.send("bob", ttl=None)
    alice.messaging.post("bob", Message(b"", ttl=None))
    happened(DropReason.NOT_QUEUED)
    assert set(expected) == set(DropReason)


def test_rejected_messages_are_counted(network: MemoryNetwork, alice: Peer, peer: MakePeer) -> None:
    def fail(*_: object) -> None:
        raise ValueError

    bob = peer("bob", max_attempts=2)
    bob.messaging.on_message_recv.add(fail)
    alice.connect(bob)
    alice.send("bob", ttl=None)
    network.run_until_idle()
    assert of(bob, "alice").rejected == 0
    network.advance(60)
    assert (of(bob, "alice").rejected, of(bob, "alice").received) == (1, 1)


def test_1_6_peer_has_no_deliveries(network: MemoryNetwork, alice: Peer, raw: MakeRawPeer) -> None:
    raw().join(alice, "old")
    alice.send("old", b"12345", ttl=None)
    network.advance(60)
    sent = {"connected": True, "connections": 1, "sent": 1, "sent_bytes": 5}
    assert not differs(of(alice, "old"), **sent)


def test_message_that_has_expired_is_not_the_oldest(network: MemoryNetwork, alice: Peer) -> None:
    alice.send("bob", ttl=5)
    network.advance(3)
    alice.send("bob", ttl=None)
    network.advance(1)
    assert of(alice, "bob").oldest_age == 4
    network.advance(1)
    assert of(alice, "bob").oldest_age == 2


# -- round trips


@pytest.mark.parametrize("latency", [0.01, 0.2])
def test_round_trip_is_there_and_back(latency: float) -> None:
    network = MemoryNetwork(latency=latency)
    alice, bob = Peer(network, "alice"), Peer(network, "bob")
    network.connect(alice.link, bob.link)
    network.advance(1)
    assert of(alice, "bob").round_trip is None
    for _ in range(5):
        alice.send("bob", ttl=None)
        network.advance(2)
        assert of(alice, "bob").round_trip == pytest.approx(2 * latency)


def test_round_trip_is_smoothed(network: MemoryNetwork, alice: Peer, peer: MakePeer) -> None:
    bob = peer("bob", manual_ack=True)
    alice.connect(bob)
    for seconds, expected in [(1, 1.0), (9, 1.0 + 8 / 8), (2, 2.0)]:
        alice.send("bob", ttl=None)
        network.advance(seconds)
        bob.messaging.ack(bob.received[-1][2])
        network.run_until_idle()
        assert of(alice, "bob").round_trip == pytest.approx(expected)


def test_connection_that_breaks_measures_nothing(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    at_alice, at_bob = alice.connect(bob)
    bob.link.pause_reading(at_bob)
    alice.send("bob", ttl=None)
    network.advance(50)
    network.disconnect(at_alice)
    network.advance(50)
    alice.connect(bob)
    network.run_until_idle()
    assert of(alice, "bob").round_trip == 0


# -- bounds and threads


def test_counters_of_many_peers_are_kept(
    network: MemoryNetwork, alice: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _stats.MAX_PEERS == 10_000
    monkeypatch.setattr(_stats, "MAX_PEERS", 3)
    for number in range(10):
        alice.send(f"absent {number}", ttl=0)
        network.run_until_idle()
    assert list(alice.messaging.stats().peers) == ["absent 7", "absent 8", "absent 9"]


def test_a_connected_peer_is_in_the_statistics_when_others_are_forgotten(
    network: MemoryNetwork, alice: Peer, bob: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_stats, "MAX_PEERS", 3)
    alice.connect(bob)
    for number in range(10):
        alice.send(f"absent {number}", ttl=0)
    network.run_until_idle()
    stats = alice.messaging.stats()
    assert stats.connections == 1
    assert stats.peers["bob"].connected
    assert stats.peers["bob"].connections == 1
    assert len(stats.peers) == 3


def test_counters_of_peers_in_use_are_never_forgotten(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_stats, "MAX_PEERS", 3)
    alice.send("patient", ttl=0)
    alice.send("patient", ttl=None)
    network.run_until_idle()
    for number in range(40):
        alice.connect(peer(f"peer {number}"))
    for number in range(100):
        alice.send(f"absent {number}", ttl=0)
        network.run_until_idle()
    stats = alice.messaging.stats()
    assert stats.connections == 40
    assert all(stats.peers[f"peer {number}"].connections == 1 for number in range(40))
    assert stats.peers["patient"].dropped == {DropReason.ABSENT: 1}
    for conn_id in list(alice.link.connections):
        alice.link.close(conn_id)
    network.run_until_idle()
    for number in range(10):
        alice.send(f"absent again {number}", ttl=0)
        network.run_until_idle()
    assert len(alice.messaging.stats().peers) == 3
    assert "patient" in alice.messaging.stats().peers


def test_counters_are_forgotten_when_the_waiting_messages_have_expired(
    network: MemoryNetwork, alice: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_stats, "MAX_PEERS", 3)
    for number in range(100):
        alice.send(f"absent {number}", ttl=5)
    network.advance(4)
    assert len(alice.messaging.stats().peers) == 100
    network.advance(1)
    assert len(alice.messaging.stats().peers) == 3


def test_counters_of_a_connected_peer_are_kept_as_others_come(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_stats, "MAX_PEERS", 3)
    friends = [peer(f"friend {number}") for number in range(5)]
    conn_ids = []
    for friend in friends:
        conn_ids.append(friend.connect(alice)[0])
        friend.send("alice", b"data")
        network.run_until_idle()
    for number in range(10):
        alice.send(f"absent {number}", ttl=0)
        network.run_until_idle()
    friends[0].send("alice", b"data")
    network.run_until_idle()
    peers = alice.messaging.stats().peers
    assert [peers[f"friend {number}"].received for number in range(5)] == [2, 1, 1, 1, 1]
    for conn_id in conn_ids:
        network.disconnect(conn_id)
    for number in range(10, 20):
        alice.send(f"absent {number}", ttl=0)
        network.run_until_idle()
    assert not any(ident.startswith("friend") for ident in alice.messaging.stats().peers)


def test_what_is_returned_does_not_change_any_more(network: MemoryNetwork, alice: Peer) -> None:
    alice.send("bob", ttl=0)
    network.run_until_idle()
    before = of(alice, "bob")
    alice.send("bob", ttl=0)
    network.run_until_idle()
    assert before.dropped == {DropReason.ABSENT: 1}


@pytest.fixture
def links() -> Iterator[list[Link]]:
    """Links whose loops run; they are ended whatever happens."""
    links = [Link(), Link()]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # many chances for threads to meet in the middle of something
    yield links
    sys.setswitchinterval(interval)
    for link in links:
        link.cleanup()


def test_figures_can_be_read_while_the_loop_is_busy(links: list[Link]) -> None:
    count = 3000
    alice = Messaging("alice", "", Packeter(links[0]))
    Messaging("bob", "", Packeter(links[1]), window_messages=50)
    delivered: list[bytes] = []
    complete, dropped = threading.Event(), threading.Semaphore(0)
    alice.on_message_drop.add(lambda *_: dropped.release())

    def on_delivered(conn_id: str, ident: str, uuid: bytes) -> None:
        delivered.append(uuid)
        if len(delivered) == count:
            complete.set()

    alice.on_message_delivered.add(on_delivered)
    errors: list[Exception] = []
    pictures: list[int] = []

    def look() -> None:
        last = 0
        try:
            while not complete.is_set():
                stats = alice.stats()
                bob_stats = stats.peers.get("bob", NOTHING)
                assert last <= bob_stats.delivered <= bob_stats.sent <= count
                assert bob_stats.oldest_age is None or bob_stats.oldest_age >= 0
                last = bob_stats.delivered
                pictures.append(last)
        except Exception as exc:
            errors.append(exc)

    links[0].add_connector(links[1].add_listener(("127.0.0.1", 0)), reconnect_interval=0.05)
    lookers = [threading.Thread(target=look, daemon=True) for _ in range(3)]
    for thread in (*lookers, *(threading.Thread(target=k.loop, daemon=True) for k in links)):
        thread.start()
    for number in range(count):
        alice.send_message("bob", Message(b"x" * 10, ttl=None))
        alice.send_message(f"absent {number % 20}", Message(b"", ttl=0))  # queues come and go
    assert complete.wait(PATIENCE)
    for looker in lookers:
        looker.join(PATIENCE)
        assert not looker.is_alive()
    for _ in range(count):
        assert dropped.acquire(timeout=PATIENCE)
    assert errors == []
    assert pictures
    final = alice.stats()
    assert (final.peers["bob"].sent_bytes, final.peers["bob"].resent) == (10 * count, 0)
    assert sum(stats.dropped.get(DropReason.ABSENT, 0) for stats in final.peers.values()) == count


def test_the_picture_costs_few_calls_for_each_queue() -> None:
    def calls(queues: int) -> int:
        network = MemoryNetwork()
        alice = Messaging("alice", "", Packeter(network.link("alice")))
        for number in range(queues):
            alice.send_message(f"absent {number}", Message(b"x", ttl=60))
        network.run_until_idle()
        count = 0

        def profile(_frame: object, event: str, _argument: object) -> None:
            nonlocal count
            count += event == "call"

        gc.collect()
        gc.disable()  # others may have callbacks of it, which would be counted
        sys.setprofile(profile)
        try:
            stats = alice.stats()
        finally:
            sys.setprofile(None)
            gc.enable()
        assert len(stats.peers) == queues
        return count

    assert calls(110) - calls(10) <= 100 * 9


def test_stats_tell_what_a_peer_runs(raw: MakeRawPeer, alice: Peer, peer: MakePeer) -> None:
    bob = peer("bob")
    conn_id, _ = alice.connect(bob)
    installed = metadata.version("snakemq-messaging")
    assert (of(alice, "bob").product, of(alice, "bob").version) == ("snakemq", installed)
    alice.link.close(conn_id)
    alice.network.run_until_idle()
    alice.send("bob", ttl=60)
    alice.network.run_until_idle()
    assert (of(alice, "bob").product, of(alice, "bob").version) == ("snakemq", installed)
    raw().join(alice, "old")
    assert (of(alice, "old").product, of(alice, "old").version) == ("", "")
    other = raw("other")
    other.connect(alice)
    introduced = features() + b"\1\0\3cat" + b"\2\0\0019"
    other.say(VERSION, introduced, identification("other"))
    assert (of(alice, "other").product, of(alice, "other").version) == ("cat", "9")
