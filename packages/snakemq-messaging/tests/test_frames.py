"""Frames are bit for bit those of the protocol, and anything else is refused."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_peers import MakeRawPeer, Peer, message

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import MAX_IDENT_LENGTH, PROTOCOL_VERSION
from snakemq.messaging._wire import _frames as frames
from snakemq.messaging._wire._fields import decode_fields

bits = st.integers(0, 0xFFFFFFFF)
idents = st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_IDENT_LENGTH)


def test_protocol_version() -> None:
    assert PROTOCOL_VERSION == 1
    assert frames.encode_version() == bytes.fromhex("00 00000001")
    assert frames.decode_version(bytes.fromhex("00 01020304")) == 0x01020304


def test_single_byte_frames() -> None:
    assert (frames.INCOMPATIBLE_PROTOCOL, frames.PING, frames.PONG) == (b"\1", b"\4", b"\5")


def test_identification() -> None:
    assert frames.encode_identification("alice") == b"\2alice"
    assert frames.decode_identification(b"\2alice") == "alice"
    assert frames.encode_identification("äß") == bytes.fromhex("02 c3a4 c39f")


def test_longest_ident_is_counted_in_characters() -> None:
    ident = "🐍" * MAX_IDENT_LENGTH  # 4 bytes each
    assert frames.decode_identification(frames.encode_identification(ident)) == ident


def test_ident_that_is_too_long_is_refused() -> None:
    with pytest.raises(SnakeMQBrokenMessage, match="51 characters"):
        frames.decode_identification(b"\2" + b"x" * 51)


@pytest.mark.parametrize("ident", [b"\xff", b"abc\xc3", b"\xed\xa0\x80"])
def test_ident_that_is_not_utf8_is_refused(ident: bytes) -> None:
    with pytest.raises(SnakeMQBrokenMessage, match="UTF-8"):
        frames.decode_identification(b"\2" + ident)


def test_message_that_is_received(raw: MakeRawPeer, alice: Peer) -> None:
    uuid = bytes(range(16))
    raw().join(alice, "bob", b"\3" + uuid + bytes.fromhex("00000258 00000001") + b"data")
    ((_, _, received),) = alice.received
    assert (received.uuid, received.ttl, received.flags) == (uuid, 600, 1)
    assert received.data == b"data"


def test_message_that_is_sent(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    bob.join(alice, "bob")
    uuid = bytes(range(16))
    alice.messaging.send_message("bob", Message(b"data", 600, 1, uuid))
    alice.network.run_until_idle()
    packet = bytes.fromhex("0000001d 03") + uuid + bytes.fromhex("00000258 00000001") + b"data"
    assert bob.stream.endswith(packet)


def test_infinite_ttl(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    bob.join(alice, "bob", message(b"", ttl=0xFFFFFFFF))
    assert alice.received[0][2].ttl is None
    alice.send("bob", ttl=None)
    alice.network.run_until_idle()
    assert bob.messages[0][17:21] == b"\xff" * 4


@pytest.mark.parametrize("size", range(25))
def test_short_message_is_refused(raw: MakeRawPeer, alice: Peer, size: int) -> None:
    raw().join(alice, "bob", message(b"")[:size])
    assert alice.kinds_of_errors == [SnakeMQBrokenMessage]
    assert alice.received == []


@pytest.mark.parametrize("size", [1, 4, 6])
def test_version_of_a_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(SnakeMQBrokenMessage):
        frames.decode_version(bytes(size))


FEATURES = bytes.fromhex("10 0001 00000003 0102030405060708 00000100 00001000 00010000")


def test_features() -> None:
    features = frames.Features(3, 0x0102030405060708, 256, 4096, 65536)
    assert frames.encode_features(features) == FEATURES
    assert frames.decode_features(FEATURES) == features


fields = st.dictionaries(st.integers(3, 255), st.binary(max_size=300), max_size=5)
texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=64)


@given(fields)
def test_features_may_have_fields_that_nobody_knows(more: dict[int, bytes]) -> None:
    encoded = b"".join(struct.pack("!BH", kind, len(v)) + v for kind, v in more.items())
    assert frames.decode_features(FEATURES + encoded) == frames.decode_features(FEATURES)
    assert decode_fields(encoded) == more


def test_features_tell_the_product_and_its_version() -> None:
    features = frames.decode_features(FEATURES)._replace(product="snakemq", version="2.1.0")
    encoded = FEATURES + b"\1\0\7snakemq" + b"\2\0\0052.1.0"
    assert frames.encode_features(features) == encoded
    assert frames.decode_features(encoded) == features


NOT_FIELDS = {
    "a type alone": b"\x80",
    "half of a length": b"\x80\0",
    "a value that is cut": b"\x80\0\2x",
    "a field that is cut behind another": b"\x80\0\1x\x81\0\1",
    "a type that comes twice": b"\x80\0\1x\x80\0\1x",
    "a product that is too long": b"\1\0\x41" + b"x" * 65,
    "a product that is not ASCII": b"\1\0\2\xc3\xa9",
    "a product with a line break": b"\1\0\2a\n",
    "a version with an escape": b"\2\0\3\x1b[m",
}


@pytest.mark.parametrize("more", NOT_FIELDS.values(), ids=NOT_FIELDS)
def test_features_with_fields_that_are_not_fields_are_refused(more: bytes) -> None:
    with pytest.raises(SnakeMQBrokenMessage, match="field"):
        frames.decode_features(FEATURES + more)


@pytest.mark.parametrize("size", range(len(FEATURES)))
def test_short_features_are_refused(size: int) -> None:
    with pytest.raises(SnakeMQBrokenMessage):
        frames.decode_features(FEATURES[:size])


def test_ack() -> None:
    assert frames.encode_ack(258) == bytes.fromhex("11 0000000000000102")
    assert frames.decode_ack(bytes.fromhex("11 0000000000000102")) == 258


@pytest.mark.parametrize("size", [1, 8, 10])
def test_ack_of_a_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(SnakeMQBrokenMessage):
        frames.decode_ack(bytes(size))


@given(idents)
def test_ident_round_trip(ident: str) -> None:
    assert frames.decode_identification(frames.encode_identification(ident)) == ident


@given(
    st.lists(
        st.tuples(
            st.binary(),
            st.none() | st.integers(0, 0xFFFFFFFE),
            bits,
            st.binary(min_size=16, max_size=16),
        ),
        unique_by=lambda fields: fields[3],
    )
)
def test_messages_round_trip(sent: list[tuple[bytes, int | None, int, bytes]]) -> None:
    network = MemoryNetwork(seed=1)
    alice, bob = Peer(network, "alice"), Peer(network, "bob")
    alice.connect(bob)
    for fields in sent:
        alice.messaging.send_message("bob", Message(*fields))
    network.run_until_idle()
    assert [(m.data, m.ttl, m.flags, m.uuid) for _, _, m in bob.received] == sent


@given(
    st.builds(
        frames.Features,
        bits,
        st.integers(0, 2**64 - 1),
        bits,
        bits,
        bits,
        st.integers(0, 0xFFFF),
        texts,
        texts,
    )
)
def test_features_round_trip(features: frames.Features) -> None:
    assert frames.decode_features(frames.encode_features(features)) == features


@given(st.binary())
def test_garbage_is_refused_and_nothing_else_happens(garbage: bytes) -> None:
    for decode in (
        frames.decode_version,
        frames.decode_identification,
        frames.decode_features,
        frames.decode_ack,
    ):
        with suppress(SnakeMQBrokenMessage):
            decode(garbage)
