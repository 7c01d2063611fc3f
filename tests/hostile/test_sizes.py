"""Promises of large packets: memory follows what has arrived, and the limits hold."""

from __future__ import annotations

import struct

import pytest

from snakemq.exceptions import SnakeMQPacketTooLarge
from snakemq.packeter import MAX_PACKET_SIZE

from .conftest import MakeStranger, Victim
from .memory import MB, measured
from .stranger import Stranger, message, packet

GREATEST = 0xFFFFFFFF


def promise(size: int) -> bytes:
    """The header of a packet."""
    return struct.pack("!I", size)


def received_sizes(victim: Victim) -> list[int]:
    """A list that grows with whatever arrives."""
    sizes: list[int] = []
    victim.link.on_recv.add(lambda _, data: victim.write(sizes, len(data)))
    return sizes


@pytest.mark.parametrize("size", [4097, 1 << 20, MAX_PACKET_SIZE, GREATEST])
def test_a_stranger_may_not_promise_more_than_an_introduction_takes(
    victim: Victim, stranger: Stranger, size: int
) -> None:
    with measured() as peak:
        stranger.send(promise(size))
        victim.assert_refused(stranger, SnakeMQPacketTooLarge, f"{size} bytes")
    assert peak.size < MB


@pytest.mark.parametrize("size", [MAX_PACKET_SIZE + 1, GREATEST])
def test_a_peer_may_not_promise_more_than_the_limit(
    victim: Victim, acquaintance: Stranger, size: int
) -> None:
    with measured() as peak:
        acquaintance.send(promise(size))
        victim.assert_refused(acquaintance, SnakeMQPacketTooLarge, f"{size} bytes")
    assert peak.size < MB


def test_memory_follows_what_was_sent_and_not_what_was_promised(
    victim: Victim, acquaintance: Stranger
) -> None:
    sent = 8 * MB
    sizes = received_sizes(victim)
    data = bytes(sent)
    with measured() as peak:
        acquaintance.send(promise(MAX_PACKET_SIZE))
        acquaintance.send(data)
        victim.until(lambda: sum(sizes) >= sent)
        victim.assert_serving()
    assert peak.size < 2.5 * sent
    assert victim.problems == []


def test_a_hundred_promises_of_what_is_allowed_cost_nothing(
    victim: Victim, make_stranger: MakeStranger
) -> None:
    strangers = [make_stranger() for _ in range(100)]
    for number, stranger in enumerate(strangers):
        stranger.introduce(f"stranger {number}")
    victim.until(lambda: len(victim.connected) == 101)
    sizes = received_sizes(victim)
    with measured() as peak:
        for stranger in strangers:
            stranger.send(promise(MAX_PACKET_SIZE) + b"x")
        victim.until(lambda: sum(sizes) >= 500)
        victim.assert_serving()
    assert peak.size < 2 * MB
    assert victim.problems == []


def test_the_limit_of_the_packeter_is_exact(victim: Victim, make_stranger: MakeStranger) -> None:
    limit = 100_000
    victim.packeter.max_packet_size = limit
    whole = message(b"")
    small, large = make_stranger(), make_stranger()
    small.introduce("small")
    small.say(message(bytes(limit - len(whole))))
    victim.until(lambda: [it for it in victim.received if it.ident == "small"])
    large.introduce("large")
    large.say(message(bytes(limit - len(whole) + 1)))
    victim.assert_refused(large, SnakeMQPacketTooLarge, f"{limit + 1} bytes")
    small.assert_welcome()


def test_an_introduction_may_be_as_long_as_it_says(victim: Victim, stranger: Stranger) -> None:
    stranger.send(packet(b"\xff" + bytes(4095)))
    stranger.assert_welcome()
    stranger.send(packet(b"\xff" + bytes(4096)))
    victim.assert_refused(stranger, SnakeMQPacketTooLarge, "4097 bytes")
