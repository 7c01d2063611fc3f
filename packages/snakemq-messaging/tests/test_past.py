"""Connections from the past are recognised by number, by process, and by when they were made."""

from __future__ import annotations

import struct

import pytest
from memory_peers import (
    VERSION,
    MakeRawPeer,
    Peer,
    RawPeer,
    features,
    identification,
    message,
)

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.link.testing import MemoryNetwork
from snakemq.messaging._peers._past import MAX_IDENTS, Past


def number(value: int) -> bytes:
    return struct.pack("!BQ", 20, value)


@pytest.fixture
def connect(raw: MakeRawPeer, alice: Peer) -> MakeRawPeer:
    """A connection of one process of bob's that says its number."""

    def make(name: str, value: int) -> RawPeer:
        bob = raw(name)
        bob.connect(alice)
        bob.say(VERSION, features(bits=1), identification("bob"), number(value))
        return bob

    return make


def test_each_connection_says_its_number_once_and_before_any_message(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    for value in (1, 2, 3):
        alice.send("bob", b"x")
        bob = raw(f"bob {value}")
        bob.connect(alice)
        bob.say(VERSION, features(), identification("bob"))
        assert next(frame for frame in bob.frames if frame[0] in (3, 20)) == number(value)
        assert bob.count(number(value)) == 1
        bob.link.close(bob.conn_id)
        network.run_until_idle()


def test_a_1_6_peer_is_told_no_number(alice: Peer, raw: MakeRawPeer) -> None:
    bob = raw()
    bob.join(alice, "bob")
    assert [frame[0] for frame in bob.frames] == [0, 16, 2]


def test_a_lower_number_is_from_the_past(
    network: MemoryNetwork, alice: Peer, connect: MakeRawPeer
) -> None:
    newer = connect("newer", 7)
    newer.link.close(newer.conn_id)
    network.run_until_idle()
    older = connect("older", 6)
    assert not older.is_connected
    assert alice.errors == []
    assert connect("newest", 8).is_connected


def test_nothing_of_it_is_offered(
    network: MemoryNetwork, alice: Peer, connect: MakeRawPeer, raw: MakeRawPeer
) -> None:
    newer = connect("newer", 7)
    newer.link.close(newer.conn_id)
    network.run_until_idle()
    older = raw("older")
    older.connect(alice)
    older.say(VERSION, features(bits=1), identification("bob"), number(6), message(b"old"))
    assert alice.received == []
    assert len(alice.connected) == len(alice.disconnected) == 2


def test_a_peer_that_says_no_number_is_admitted(
    network: MemoryNetwork, alice: Peer, connect: MakeRawPeer, raw: MakeRawPeer
) -> None:
    """A 2.0.0 peer, for example."""
    for name in ("one", "two"):
        peer = raw(name)
        peer.connect(alice)
        peer.say(
            VERSION,
            features(bits=1),
            identification("bob"),
            message(b"x", name.encode() * 5 + b"x"),
        )
        assert peer.is_connected
        peer.link.close(peer.conn_id)
        network.run_until_idle()
    assert len(alice.received) == 2


def test_a_number_of_a_wrong_length_breaks_the_rules(alice: Peer, connect: MakeRawPeer) -> None:
    bob = connect("bob", 1)
    bob.say(number(1)[:-1])
    assert alice.kinds_of_errors == [SnakeMQBrokenMessage]


def test_processes_are_told_apart_by_when_their_connections_were_made() -> None:
    past = Past()
    past.admitted("bob", epoch=1, order=5, number=100)
    assert not past.is_outlived("bob", epoch=2, order=6)
    past.admitted("bob", epoch=2, order=6)
    assert past.is_outlived("bob", epoch=1, order=4)
    assert past.is_outlived("bob", epoch=3, order=4)
    assert not past.is_outlived("bob", epoch=1, order=7)
    assert not past.is_outlived("bob", epoch=2, order=4)
    assert not past.is_outlived("carol", epoch=1, order=4)
    assert not past.is_given_up("bob", epoch=2, number=1)
    assert not past.is_given_up("bob", epoch=1, number=1)


def test_what_is_known_of_a_process_does_not_fall() -> None:
    past = Past()
    past.admitted("bob", epoch=1, order=5, number=7)
    past.admitted("bob", epoch=1, order=3)
    assert past.is_given_up("bob", epoch=1, number=6)
    assert not past.is_given_up("bob", epoch=1, number=7)
    assert past.is_outlived("bob", epoch=2, order=4)


def test_it_forgets_those_that_are_absent_longest() -> None:
    past = Past()
    for ident in range(MAX_IDENTS):
        past.admitted(str(ident), epoch=1, order=9, number=9)
    past.admitted("0", epoch=1, order=9, number=9)
    past.admitted("one more", epoch=1, order=9, number=9)
    assert past.is_given_up("0", epoch=1, number=1)
    assert not past.is_given_up("1", epoch=1, number=1)
