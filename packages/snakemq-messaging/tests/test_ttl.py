"""Messages live for their ttl, and each one that expires is reported once."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_peers import MakePeer, Peer

from snakemq.link.testing import MemoryNetwork
from snakemq.messaging._outgoing._queue._queue import OutgoingQueue

YEAR = 365 * 24 * 3600.0


def test_ttl_0_is_delivered_to_a_connected_peer(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    alice.send("bob", b"now", ttl=0)
    network.run_until_idle()
    assert bob.heard == [b"now"]
    assert bob.received[0][2].ttl == 0
    network.advance(YEAR)
    assert alice.dropped == []


@pytest.mark.parametrize("was_there_before", [False, True])
def test_ttl_0_to_an_absent_peer_is_dropped_and_reported(
    network: MemoryNetwork, alice: Peer, bob: Peer, was_there_before: bool
) -> None:
    if was_there_before:
        at_alice, _ = alice.connect(bob)
        network.disconnect(at_alice)
        network.run_until_idle()
    uuid = alice.send("bob", b"now", ttl=0)
    assert alice.dropped == []  # not within send_message, which any thread may call
    network.run_until_idle()
    assert alice.dropped == [("bob", uuid)]
    alice.connect(bob)
    network.advance(60)
    assert bob.heard == []
    assert alice.dropped == [("bob", uuid)]


def test_ttl_0_is_dropped_when_the_peer_leaves_before_it_is_sent(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    at_alice, _ = alice.connect(bob)
    uuid = alice.send("bob", b"now", ttl=0)
    network.disconnect(at_alice)
    network.run_until_idle()
    assert alice.dropped == [("bob", uuid)]
    alice.connect(bob)
    assert bob.heard == []


def test_ttl_0_is_dropped_when_the_peer_leaves_before_its_turn_comes(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    at_alice, _ = alice.connect(bob)
    network.stall(at_alice)
    stays = alice.send("bob", b"x" * 1_000_000, ttl=None)
    gone = [alice.send("bob", b"now", ttl=0) for _ in range(3)]
    network.run_until_idle()
    assert alice.dropped == []
    network.disconnect(at_alice)
    network.run_until_idle()
    assert alice.dropped == [("bob", uuid) for uuid in gone]
    alice.connect(bob)
    assert [m.uuid for _, _, m in bob.received] == [stays]


def test_ttl_0_waits_for_its_turn_as_long_as_the_peer_is_connected(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    at_alice, _ = alice.connect(bob)
    network.stall(at_alice)
    for _ in range(20):
        alice.send("bob", b"x" * 50_000)
    alice.send("bob", b"now", ttl=0)
    network.advance(1000)
    network.unstall(at_alice)
    network.run_until_idle()
    assert bob.heard[-1] == b"now"
    assert alice.dropped == []


def test_ttl_0_sent_just_before_the_identification_arrives_or_drops(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    network.connect(alice.link, bob.link)
    uuid = alice.send("bob", b"now", ttl=0)
    network.run_until_idle()
    assert len(bob.heard) + len(alice.dropped) == 1
    assert alice.dropped in ([], [("bob", uuid)])


def test_ttl_none_waits_forever(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.send("bob", b"patience", ttl=None)
    network.advance(100 * YEAR)
    assert alice.dropped == []
    alice.connect(bob)
    assert bob.heard == [b"patience"]
    assert bob.received[0][2].ttl is None


@pytest.mark.parametrize("ttl", [0.001, 0.5, 1, 7.25, 3600, 4294967294])
def test_message_to_a_peer_that_never_comes_expires_at_its_time(
    network: MemoryNetwork, alice: Peer, ttl: float
) -> None:
    uuid = alice.send("bob", ttl=ttl)
    network.advance(ttl * 0.999)
    assert alice.dropped == []
    network.advance(ttl * 0.001)
    network.advance(1e-6)  # what rounding has left
    assert alice.dropped == [("bob", uuid)]
    network.advance(YEAR)
    assert alice.dropped == [("bob", uuid)]


def test_message_expires_at_its_time_exactly(network: MemoryNetwork, alice: Peer) -> None:
    alice.send("bob", ttl=5)
    network.advance(4.999)
    assert alice.dropped == []
    network.advance(5 - network.clock.time())
    assert len(alice.dropped) == 1


def test_message_expires_while_its_peer_is_away(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    at_alice, _ = alice.connect(bob)
    network.disconnect(at_alice)
    network.run_until_idle()
    uuid = alice.send("bob", ttl=5)
    network.advance(4.9)
    assert alice.dropped == []
    network.advance(0.2)
    assert alice.dropped == [("bob", uuid)]
    alice.connect(bob)
    assert bob.heard == []


def test_message_expires_behind_a_backlog_that_is_stuck(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    at_alice, _ = alice.connect(bob)
    network.stall(at_alice)
    for _ in range(20):
        alice.send("bob", b"x" * 50_000)
    uuid = alice.send("bob", b"mortal", ttl=5)
    alice.send("bob", b"lasting", ttl=60)
    network.advance(4.999)
    assert alice.dropped == []
    network.advance(0.002)
    assert alice.dropped == [("bob", uuid)]
    network.unstall(at_alice)
    network.run_until_idle()
    assert bob.heard[20:] == [b"lasting"]
    assert alice.dropped == [("bob", uuid)]


def test_message_expires_behind_a_window_that_is_full(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    _, at_bob = alice.connect(bob)
    bob.link.pause_reading(at_bob)
    for _ in range(400):
        alice.send("bob", b"x" * 50_000)
    uuid = alice.send("bob", b"mortal", ttl=5)
    network.advance(5)
    assert alice.dropped == [("bob", uuid)]


def test_message_expires_in_the_middle_of_a_queue(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    ttls = [None, 5, 60, 5, None, 0.5, 60]
    uuids = [alice.send("bob", b"%d" % number, ttl) for number, ttl in enumerate(ttls)]
    network.advance(5)
    assert alice.dropped == [("bob", uuids[number]) for number in (5, 1, 3)]
    alice.connect(bob)
    assert bob.heard == [b"0", b"2", b"4", b"6"]


def test_peer_that_comes_when_the_time_is_over_gets_nothing(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    uuid = alice.send("bob", b"late", ttl=5)
    network.run_until_idle()
    network.clock.advance(5)  # nobody has looked at the timers yet
    alice.connect(bob)
    assert bob.heard == []
    assert alice.dropped == [("bob", uuid)]


def test_delivered_message_does_not_expire(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.send("bob", b"early", ttl=5)
    network.advance(4)
    at_alice, _ = alice.connect(bob)
    assert bob.heard == [b"early"]
    network.disconnect(at_alice)
    network.advance(60)
    assert alice.dropped == []


def test_timer_of_an_earlier_message_does_not_hide_a_later_one(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.send("bob", b"first", ttl=10)
    network.advance(1)
    at_alice, _ = alice.connect(bob)
    network.disconnect(at_alice)
    network.run_until_idle()
    assert bob.heard == [b"first"]
    uuid = alice.send("bob", b"second", ttl=20)
    network.advance(19.999)
    assert alice.dropped == []
    network.advance(0.002)
    assert alice.dropped == [("bob", uuid)]


def test_expired_messages_that_were_under_way_are_dropped_at_the_break(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    at_alice, at_bob = alice.connect(bob)
    bob.link.pause_reading(at_bob)
    uuids = {ttl: alice.send("bob", b"%a" % ttl, ttl) for ttl in (0, 5, 60, None)}
    network.advance(10)
    assert alice.dropped == []  # it may arrive any moment
    network.disconnect(at_alice)
    network.run_until_idle()
    assert sorted(alice.dropped) == sorted([("bob", uuids[0]), ("bob", uuids[5])])
    alice.connect(bob)
    assert bob.heard == [b"60", b"None"]
    network.advance(YEAR)
    assert len(alice.dropped) == 2


@settings(max_examples=60)
@given(
    ttls=st.lists(st.none() | st.sampled_from([0, 0.5, 1, 2, 3, 10]), max_size=12),
    waits=st.lists(st.sampled_from([0, 0.25, 0.5, 1, 2]), min_size=12, max_size=12),
    connects_after=st.integers(0, 12),
)
def test_every_message_is_delivered_or_reported_and_never_both(
    ttls: list[float | None], waits: list[float], connects_after: int
) -> None:
    network = MemoryNetwork()
    alice, bob = Peer(network, "alice"), Peer(network, "bob")
    uuids = []
    for number, ttl in enumerate(ttls):
        if number == connects_after:
            alice.connect(bob)
        uuids.append(alice.send("bob", ttl=ttl))
        network.advance(waits[number])
    network.advance(20)
    if not alice.connected:
        alice.connect(bob)
    delivered = [m.uuid for _, _, m in bob.received]
    dropped = [uuid for _, uuid in alice.dropped]
    assert sorted(delivered + dropped) == sorted(uuids)
    assert delivered == [uuid for uuid in uuids if uuid in delivered]
    lasting = [uuid for uuid, ttl in zip(uuids, ttls, strict=True) if ttl is None]
    assert set(lasting) <= set(delivered)


def test_nothing_is_kept_of_peers_that_are_away_and_get_nothing(
    network: MemoryNetwork, alice: Peer
) -> None:
    for number in range(1000):
        alice.send(f"unheard of {number}", ttl=number % 3)
    network.advance(5)
    assert len(alice.dropped) == 1000
    queues = [each for each in gc.get_objects() if isinstance(each, OutgoingQueue)]
    assert [queue for queue in queues if queue.ident.startswith("unheard of")] == []


def test_time_of_a_message_that_was_delivered_comes_and_goes(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.send("bob", b"first", ttl=10)
    network.advance(1)
    alice.connect(bob)
    network.advance(10)
    alice.send("bob", b"second", ttl=10)
    network.run_until_idle()
    assert bob.heard == [b"first", b"second"]


def test_queues_of_several_peers_expire_apart(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    for_bob = alice.send("bob", ttl=5)
    alice.send("carol", ttl=10)
    network.advance(7)
    assert alice.dropped == [("bob", for_bob)]
    carol = peer("carol")
    alice.connect(carol)
    assert len(carol.received) == 1
