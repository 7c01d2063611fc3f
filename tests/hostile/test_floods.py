"""Masses of what would be harmless one by one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from snakemq.exceptions import SnakeMQBrokenMessage, SnakeMQFlood
from snakemq.messaging import MAX_PINGS_PER_SECOND

from .conftest import MakeStranger, Victim
from .memory import MB, measured
from .stranger import (
    PING,
    PONG,
    VERSION,
    Stranger,
    features,
    identification,
    message,
    packets,
    rpc_request,
)


@contextmanager
def listening(stranger: Stranger) -> Iterator[None]:
    """It reads whatever comes, in a thread, as long as its connection lives."""
    thread = threading.Thread(target=stranger.hear_to_the_end)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("introduced", [True, False])
def test_a_flood_of_pings_from_a_peer_that_reads_the_pongs(
    victim: Victim, stranger: Stranger, introduced: bool
) -> None:
    if introduced:
        stranger.introduce()
    with listening(stranger):
        for _ in range(MAX_PINGS_PER_SECOND + 1):
            stranger.say(PING)
        victim.problem(SnakeMQFlood)
    assert "pings" in str(victim.problems[0].error)


@pytest.mark.parametrize("introduced", [True, False])
def test_a_flood_of_pings_from_a_peer_that_reads_nothing(
    victim: Victim, stranger: Stranger, introduced: bool
) -> None:
    if introduced:
        stranger.introduce()
    with measured() as peak:
        stranger.send(packets(PING) * 200_000)
        victim.problem(SnakeMQFlood)
    assert peak.size < 8 * MB  # 1 MB of it is what the stranger sends


def test_pings_at_the_allowed_rate_are_answered(victim: Victim, stranger: Stranger) -> None:
    stranger.send(packets(PING) * (MAX_PINGS_PER_SECOND - 1))
    stranger.assert_welcome()
    assert victim.problems == []


@pytest.mark.parametrize(
    "frame",
    [VERSION, PONG, b"\xc8", b"\xc8" + bytes(100), identification("somebody"), features()],
    ids=["version", "pong", "unknown", "unknown-payload", "identification", "features"],
)
def test_a_flood_of_frames_without_a_meaning_holds_nobody_up(
    victim: Victim, acquaintance: Stranger, frame: bytes
) -> None:
    flood = packets(frame) * 50_000
    with measured() as peak:
        flooding = threading.Thread(target=acquaintance.send, args=(flood,))
        flooding.start()
        victim.assert_serving()
        flooding.join()
        acquaintance.assert_welcome()
    assert peak.size < 20 * MB  # a pass has up to 1 MB of it, in small objects
    assert victim.problems == []


def test_a_flood_of_empty_packets_ends_with_the_first(
    victim: Victim, acquaintance: Stranger
) -> None:
    acquaintance.send(packets(b"") * 100_000)
    victim.assert_refused(acquaintance, SnakeMQBrokenMessage, "empty frame")
    assert len(victim.problems) == 1


def test_a_flood_of_tiny_messages_arrives_and_holds_nobody_up(
    victim: Victim, acquaintance: Stranger
) -> None:
    count = 50_000
    flood = packets(message(b"")) * count
    flooding = threading.Thread(target=acquaintance.send, args=(flood,))
    flooding.start()
    victim.assert_serving()
    flooding.join()
    victim.until(lambda: len([it for it in victim.received if it.ident == "stranger"]) == count)


@pytest.mark.parametrize("data", [b"rpcreq", b"rpcrep"])
def test_empty_bodies_of_rpc(victim: Victim, make_stranger: MakeStranger, data: bytes) -> None:
    for number in range(20):
        stranger = make_stranger()
        stranger.introduce()
        stranger.say(*[message(data)] * 100)
        stranger.hear_to_the_end()
        assert len(victim.problems) == number + 1
        assert type(victim.problems[-1].error) is SnakeMQBrokenMessage


def test_a_flood_of_calls_from_a_peer_that_reads_no_replies(
    victim: Victim, acquaintance: Stranger
) -> None:
    """Each reply repeats the argument, so what waits is no more than what was sent."""
    argument = bytes(10_000)
    calls = 2000
    with measured() as peak:
        for number in range(calls):
            req_id = number.to_bytes(16, "big")
            acquaintance.say(message(rpc_request(req_id=req_id, args=(argument,))))
        victim.until(lambda: len(victim.service.echoed) >= 1000)
        victim.assert_serving()
    assert peak.size < 5 * calls * len(argument)
