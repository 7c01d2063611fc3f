"""Frames that are too short, too long, wrong, or too early."""

from __future__ import annotations

import struct

import pytest

from snakemq.exceptions import (
    SnakeMQBrokenMessage,
    SnakeMQException,
    SnakeMQIncompatibleProtocol,
    SnakeMQNoIdent,
    SnakeMQPacketTooLarge,
)

from .conftest import Victim
from .stranger import (
    INCOMPATIBLE,
    PING,
    PONG,
    VERSION,
    Stranger,
    ack,
    features,
    identification,
    message,
    with_headers,
)

Refusal = tuple[bytes, type[SnakeMQException], str]

MESSAGE = message(b"")
MESSAGE_WITH_HEADERS = with_headers(b"\1a\0\0")


def cut_short(frame: bytes) -> list[bytes]:
    return [frame[:length] for length in range(1, len(frame))]


ALWAYS_REFUSED: list[Refusal] = [
    (b"", SnakeMQBrokenMessage, "empty frame"),
    *((frame, SnakeMQBrokenMessage, "version frame") for frame in cut_short(VERSION)),
    (VERSION + b"\0", SnakeMQBrokenMessage, "version frame"),
    *(
        (struct.pack("!BI", 0, version), SnakeMQIncompatibleProtocol, f"version {version}")
        for version in (0, 2, 0xFFFFFFFF)
    ),
    (INCOMPATIBLE, SnakeMQIncompatibleProtocol, "does not speak"),
    (INCOMPATIBLE + b"because", SnakeMQIncompatibleProtocol, "does not speak"),
]

REFUSED_OF_STRANGERS: list[Refusal] = [
    *((frame, SnakeMQNoIdent, "before the identification") for frame in cut_short(MESSAGE)[2::4]),
    (MESSAGE, SnakeMQNoIdent, "before the identification"),
    (MESSAGE_WITH_HEADERS, SnakeMQNoIdent, "before the identification"),
    (identification("x" * 51), SnakeMQBrokenMessage, "51 characters"),
    (identification("ž" * 51), SnakeMQBrokenMessage, "51 characters"),
    (identification("x" * 4095), SnakeMQBrokenMessage, "4095 characters"),
    (b"\x02\xff", SnakeMQBrokenMessage, "UTF-8"),
    (b"\x02\xed\xa0\x80", SnakeMQBrokenMessage, "UTF-8"),  # a surrogate
    (b"\x02ok\xc3", SnakeMQBrokenMessage, "UTF-8"),
    *((frame, SnakeMQBrokenMessage, "features frame") for frame in cut_short(features())[::3]),
    (features() + b"\1", SnakeMQBrokenMessage, "in the middle of field 1"),
    (features() + b"\1\0\2x", SnakeMQBrokenMessage, "in the middle of field 1"),
    (features() + b"\x80\xff\xff", SnakeMQBrokenMessage, "in the middle of field 128"),
    (features() + 2 * b"\x80\0\0", SnakeMQBrokenMessage, "two fields 128"),
    (features() + b"\1\0\1\n", SnakeMQBrokenMessage, "not a short text"),
    (features() + b"\2\0\x41" + b"x" * 65, SnakeMQBrokenMessage, "not a short text"),
    (bytes(4097), SnakeMQPacketTooLarge, "4097 bytes"),
]

REFUSED_OF_ACQUAINTANCES: list[Refusal] = [
    *((frame, SnakeMQBrokenMessage, "message frame") for frame in cut_short(MESSAGE)),
    *((frame, SnakeMQBrokenMessage, "message") for frame in cut_short(MESSAGE_WITH_HEADERS)),
    (with_headers(b"\1A\0\0"), SnakeMQBrokenMessage, "the key of a header"),
    (with_headers(b"\1a\0\1\xff"), SnakeMQBrokenMessage, "UTF-8"),
    (with_headers(b"\1a\0\0\1a\0\0"), SnakeMQBrokenMessage, "ascending"),
    (with_headers(b"\1a\xff\xff"), SnakeMQBrokenMessage, "in the middle"),
    (with_headers(b"\1a\x10\0" + bytes(4096)), SnakeMQBrokenMessage, "4100 bytes"),
]

REFUSED_OF_PEERS_THAT_ACK: list[Refusal] = [
    *((frame, SnakeMQBrokenMessage, "ack frame") for frame in cut_short(ack(0))),
    (ack(0) + b"\0", SnakeMQBrokenMessage, "ack frame"),
    (ack(1), SnakeMQBrokenMessage, "acknowledged"),  # of nothing that was sent
    (ack(2**64 - 1), SnakeMQBrokenMessage, "acknowledged"),
]

IGNORED = [
    VERSION,
    PONG,
    PONG + b"payload",
    PING + b"payload",
    *(bytes([kind]) for kind in (*range(6, 16), 31, 127, 255)),
    b"\xfe" + bytes(4000),
    features(bits=0) + b"\x80\0\5later",
    features(bits=0xFFFFFFFE, window_messages=0, window_bytes=0, max_packet_size=0),
    ack(7),  # by somebody who has not said that it acknowledges
]


def named(refusals: list[Refusal]) -> list[object]:
    return [
        pytest.param(*refusal, id=f"{refusal[0][:6].hex()}-{len(refusal[0])}")
        for refusal in refusals
    ]


@pytest.mark.parametrize(("frame", "kind", "text"), named(ALWAYS_REFUSED + REFUSED_OF_STRANGERS))
def test_a_stranger_is_disconnected_for_it(
    victim: Victim, stranger: Stranger, frame: bytes, kind: type[SnakeMQException], text: str
) -> None:
    stranger.say(frame)
    victim.assert_refused(stranger, kind, text)


@pytest.mark.parametrize(
    ("frame", "kind", "text"), named(ALWAYS_REFUSED + REFUSED_OF_ACQUAINTANCES)
)
def test_a_peer_is_disconnected_for_it_and_what_came_before_counts(
    victim: Victim, stranger: Stranger, frame: bytes, kind: type[SnakeMQException], text: str
) -> None:
    stranger.introduce()
    stranger.say(message(b"before"), frame, message(b"after"))
    victim.assert_refused(stranger, kind, text)
    victim.until(lambda: "stranger" in victim.disconnected)
    assert [it.data for it in victim.received if it.ident == "stranger"] == [b"before"]


@pytest.mark.parametrize(("frame", "kind", "text"), named(REFUSED_OF_PEERS_THAT_ACK))
def test_a_peer_that_acknowledges_is_disconnected_for_it(
    victim: Victim, stranger: Stranger, frame: bytes, kind: type[SnakeMQException], text: str
) -> None:
    stranger.introduce(features=features())
    stranger.say(frame)
    victim.assert_refused(stranger, kind, text)


def test_an_ack_that_takes_back_an_earlier_one(victim: Victim, stranger: Stranger) -> None:
    stranger.introduce(features=features())
    victim.until_connected("stranger")
    for _ in range(3):
        victim.send("stranger", b"")
        stranger.hear_until(3)
    stranger.say(ack(2))
    stranger.say(ack(1))
    victim.assert_refused(stranger, SnakeMQBrokenMessage, "1 messages acknowledged, after 2")


@pytest.mark.parametrize("frame", IGNORED, ids=lambda frame: f"{frame[:6].hex()}-{len(frame)}")
def test_what_is_no_concern_of_ours_is_ignored(
    victim: Victim, stranger: Stranger, frame: bytes
) -> None:
    stranger.say(frame)
    stranger.assert_welcome()
    stranger.introduce()
    stranger.say(frame)
    stranger.assert_welcome()
    stranger.say(message(b"all is well"))
    victim.until(lambda: [it for it in victim.received if it.data == b"all is well"])
    assert victim.problems == []


def test_a_peer_of_another_version_is_told_so(victim: Victim, stranger: Stranger) -> None:
    stranger.say(struct.pack("!BI", 0, 9))
    heard = victim.assert_refused(stranger, SnakeMQIncompatibleProtocol, "version 9")
    assert heard[0] == VERSION
    assert heard[-1] == INCOMPATIBLE


def test_a_second_identification_changes_nothing(victim: Victim, acquaintance: Stranger) -> None:
    acquaintance.introduce("friend")
    acquaintance.say(message(b"who am I"))
    victim.until(lambda: [it for it in victim.received if it.data == b"who am I"])
    assert [it.ident for it in victim.received] == ["stranger"]


def test_an_empty_ident_is_one_like_any_other(victim: Victim, stranger: Stranger) -> None:
    stranger.introduce("")
    victim.until_connected("")
    victim.send("", b"hello nobody")
    assert stranger.hear_until(3).endswith(b"hello nobody")


def test_nothing_is_sent_to_a_peer_that_takes_no_packets(
    victim: Victim, stranger: Stranger
) -> None:
    stranger.introduce(features=features(max_packet_size=0, window_messages=0, window_bytes=0))
    victim.until_connected("stranger")
    kept = victim.send("stranger", b"too large, whatever it is")
    dropped = victim.send("stranger", b"the same, and not to be kept", 0)
    victim.until(lambda: dropped in victim.dropped)
    assert kept not in victim.dropped
    assert victim.messaging.stats().peers["stranger"].too_large == 1
    assert "takes packets of up to 0 bytes" in str(victim.problems[0].error)
    stranger.assert_welcome()
