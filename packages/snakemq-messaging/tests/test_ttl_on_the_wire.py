"""The ttl travels in whole seconds, and fractions must not lead to repetitions."""

from __future__ import annotations

import struct

import pytest
from memory_peers import MakeRawPeer, Peer

from snakemq.link.testing import MemoryNetwork


def wire_ttl(frame: bytes) -> int:
    (ttl,) = struct.unpack_from("!I", frame, 17)
    return int(ttl)


def test_message_with_a_fraction_of_a_second_is_not_delivered_twice(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    """Whole seconds are left of it on the wire, which may be 0."""
    at_alice, at_bob = alice.connect(bob)
    network.stall(at_bob)  # no ack comes through
    for ttl in (0.5, 1.9):
        alice.send("bob", b"%a" % ttl, ttl)
    network.advance(0.1)
    network.disconnect(at_alice)
    network.run_until_idle()
    alice.connect(bob)
    assert bob.heard == [b"0.5", b"1.9"]


def test_message_that_waited_into_its_last_second_is_not_delivered_twice(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    at_alice, at_bob = alice.connect(bob)
    network.stall(at_bob)
    alice.send("bob", b"once", ttl=1.9)
    network.advance(1.5)
    network.disconnect(at_alice)
    network.run_until_idle()
    alice.connect(bob)
    assert bob.heard == [b"once"]


@pytest.mark.parametrize(
    ("ttl", "waited", "expected"),
    [
        (None, 1000, 0xFFFFFFFF),
        (600, 0, 600),
        (600, 0.9, 600),
        (600, 1.1, 599),
        (600, 599.5, 1),
        (4294967294, 0, 0xFFFFFFFE),
        (4294967294, 10, 0xFFFFFFFE - 10),
        (10.75, 0, 10),
        (10.75, 3.5, 7),
    ],
)
def test_ttl_on_the_wire_is_what_is_left_in_whole_seconds(
    network: MemoryNetwork,
    alice: Peer,
    raw: MakeRawPeer,
    ttl: float | None,
    waited: float,
    expected: int,
) -> None:
    alice.send("bob", ttl=ttl)
    network.advance(waited)
    bob = raw("bob")
    bob.join(alice, "bob")
    (frame,) = bob.messages
    assert wire_ttl(frame) == expected


def test_one_that_was_sent_at_once_arrives_with_its_ttl(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    for ttl in (1, 600, 4294967294):
        alice.send("bob", ttl=ttl)
    network.run_until_idle()
    assert [m.ttl for _, _, m in bob.received] == [1, 600, 4294967294]
