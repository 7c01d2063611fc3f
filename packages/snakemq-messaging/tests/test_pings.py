"""Pings are answered, and nobody is drowned in them."""

from __future__ import annotations

import pytest
from memory_peers import PING, PONG, MakeRawPeer, Peer, RawPeer

from snakemq.exceptions import SnakeMQFlood
from snakemq.link.testing import MemoryNetwork
from snakemq.messaging import MAX_PINGS_PER_SECOND


@pytest.fixture
def bob(raw: MakeRawPeer, alice: Peer) -> RawPeer:
    """Connected with alice."""
    bob = raw("bob")
    bob.join(alice, "bob")
    return bob


@pytest.mark.parametrize("is_identified", [False, True])
def test_ping_is_answered(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, is_identified: bool
) -> None:
    bob = raw("stranger")
    if is_identified:
        bob.join(alice, "bob")
    else:
        bob.connect(alice)
    bob.say(PING)
    assert bob.count(PONG) == 1


def test_flood_of_pings_is_not_answered_forever(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    bob.say(*[PING] * MAX_PINGS_PER_SECOND)
    assert bob.is_connected
    bob.say(PING)
    assert not bob.is_connected
    assert alice.kinds_of_errors == [SnakeMQFlood]


def test_flood_before_the_identification_is_one_too(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    stranger = raw()
    stranger.connect(alice)
    stranger.say(*[PING] * (MAX_PINGS_PER_SECOND + 1))
    assert not stranger.is_connected
    assert alice.kinds_of_errors == [SnakeMQFlood]


def test_many_pings_over_a_long_time_are_not_a_flood(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    for _ in range(10):
        bob.say(*[PING] * MAX_PINGS_PER_SECOND)
        network.advance(1)
    assert bob.is_connected


def test_one_pong_waits_for_a_peer_that_does_not_read(
    network: MemoryNetwork, alice: Peer, bob: RawPeer
) -> None:
    ((conn_id, _),) = alice.connected
    network.stall(conn_id)
    for _ in range(20):
        bob.say(*[PING] * (MAX_PINGS_PER_SECOND // 2))
        network.advance(1)
    assert alice.packeter.get_unsent_size(conn_id) < 20
    network.unstall(conn_id)
    network.run_until_idle()
    assert 1 <= bob.count(PONG) <= 2
    bob.say(PING)
    assert 2 <= bob.count(PONG) <= 3
