"""Headers travel with a message to peers that understand them; anything else is refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_peers import (
    VERSION,
    MakePeer,
    MakeRawPeer,
    Peer,
    features,
    identification,
    message,
)

from snakemq.exceptions import QueueFull, SnakeMQBrokenMessage, SnakeMQFlood
from snakemq.link.testing import MemoryNetwork
from snakemq.message import MAX_HEADERS_SIZE, Headers, Message
from snakemq.message._headers import KEY_CHARACTERS
from snakemq.messaging import QueueLimits
from snakemq.messaging._wire import _frames as frames
from snakemq.messaging._wire._headers import decode_headers, encode_headers

ACKS, HEADERS = frames.FEATURE_ACKS, frames.FEATURE_HEADERS

OF_2_0 = frames.encode_features(frames.Features(ACKS, 7, 100, 1000, 1 << 20))

keys = st.text(st.sampled_from(sorted(KEY_CHARACTERS)), min_size=1, max_size=32)
values = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
headers = st.dictionaries(keys, values, max_size=20)


def with_headers(headers: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """Frame 18, with any bytes in the place of the headers."""
    length = len(headers) if length is None else length
    return b"\x12" + message(b"")[1:] + length.to_bytes(2, "big") + headers + data


def one(key: bytes, value: bytes = b"") -> bytes:
    return bytes([len(key)]) + key + len(value).to_bytes(2, "big") + value


# -- the mapping


def test_a_message_has_no_headers_unless_they_are_given() -> None:
    assert Message(b"").headers == {}
    assert Message(b"", headers={}).headers == {}
    assert Message(b"", headers=None).headers == {}


def test_headers_are_a_copy_of_what_was_given() -> None:
    given = {"content-type": "text/plain"}
    message = Message(b"", headers=given)
    given["content-type"] = "changed"
    assert message.headers == {"content-type": "text/plain"}


def test_headers_cannot_be_changed() -> None:
    message: Any = Message(b"", headers={"a": "1"})
    with pytest.raises(TypeError):
        message.headers["a"] = "2"
    with pytest.raises(AttributeError):
        message.headers = {"a": "2"}
    with pytest.raises(AttributeError):
        message.headers.encoded = b""


@pytest.mark.parametrize("kind", [dict, MappingProxyType, Headers])
def test_any_mapping_can_be_given(kind: type[Any]) -> None:
    assert Message(b"", headers=kind({"b": "2", "a": "1"})).headers == {"a": "1", "b": "2"}


@pytest.mark.parametrize("given", [[("a", "b")], "a=b", 5, True, {"a"}, [], ""])
def test_what_is_not_a_mapping_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="headers must be a mapping"):
        Message(b"", headers=given)


@pytest.mark.parametrize("key", ["", "A", "Content-Type", "k" * 33, "é", "a b", "a:", "a\n", "\0"])
def test_a_key_that_is_not_a_name_in_lower_case_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="the key of a header"):
        Message(b"", headers={key: ""})


@pytest.mark.parametrize("given", [{b"a": "b"}, {1: "b"}, {"a": b"b"}, {"a": 1}, {"a": None}])
def test_keys_and_values_are_text_only(given: Any) -> None:
    with pytest.raises(TypeError, match="must be"):
        Message(b"", headers=given)


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        Message(b"", headers={"a": "\ud83d"})


def test_headers_have_at_most_4_kib_when_they_are_encoded() -> None:
    assert MAX_HEADERS_SIZE == 4096
    fitting = Message(b"", headers={"k" * 32: "v" * (4096 - 35)})
    assert len(fitting.headers.encoded) == 4096
    for too_large in ({"k" * 32: "v" * (4096 - 34)}, {"k": "é" * 2047}, {"k": "v" * 70_000}):
        with pytest.raises(ValueError, match="bytes"):
            Message(b"", headers=too_large)
    with pytest.raises(ValueError, match="limit is 4096"):
        Message(b"", headers={f"{n:04}": "" for n in range(600)})


def test_repr_shows_how_many_headers_there_are_and_none_of_them() -> None:
    shown = repr(Message(b"", 5, 1, bytes(16), {"token": "secret", "b": ""}))
    assert shown == f"<Message uuid={'00' * 16} ttl=5.0 flags=0x1 len=0 headers=2>"


# -- the bytes


def test_headers_are_encoded_in_the_order_of_their_keys() -> None:
    encoded = Headers({"b": "", "a-z": "é"}).encoded
    assert encoded == bytes.fromhex("03 612d7a 0002 c3a9  01 62 0000")
    assert Headers({"a-z": "é", "b": ""}).encoded == encoded


@given(headers)
def test_headers_round_trip(fields: Mapping[str, str]) -> None:
    original = Headers(fields)
    decoded = Headers.decode(original.encoded)
    assert decoded == original == fields
    assert decoded.encoded == original.encoded
    assert original.size == (len(original.encoded) + 2 if fields else 0)


NOT_HEADERS = {
    "a key that is cut": b"\x05abc",
    "no length of the value": b"\x01a",
    "half of the length of the value": b"\x01a\0",
    "a value that is cut": b"\x01a\0\x02x",
    "bytes after the last header": one(b"a") + b"\0",
    "an empty key": one(b""),
    "a key in upper case": one(b"A"),
    "a key that is not ASCII": one(b"\xc3\xa9"),
    "a key with a blank": one(b"a b"),
    "a key with 33 characters": one(b"k" * 33),
    "a value that is not UTF-8": one(b"a", b"\xff"),
    "a value with half of a surrogate pair": one(b"a", b"\xed\xa0\x80"),
    "a value in UTF-8 of more bytes than needed": one(b"a", b"\xc0\x80"),
    "two equal keys": one(b"a") + one(b"a"),
    "two equal headers with another in between": one(b"a") + one(b"b") + one(b"a"),
    "keys in another order": one(b"b") + one(b"a"),
    "4,097 bytes": one(b"a", b"x" * 4093),
}


@pytest.mark.parametrize("encoded", NOT_HEADERS.values(), ids=NOT_HEADERS)
def test_bytes_that_are_not_headers_are_refused(encoded: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        Headers.decode(encoded)


@given(st.binary(max_size=60) | st.binary(max_size=8).map(one) | keys.map(str.encode).map(one))
def test_bytes_are_the_headers_they_say_or_refused(encoded: bytes) -> None:
    try:
        headers = Headers.decode(encoded)
    except ValueError:
        return
    assert headers.encoded == encoded
    assert Headers(dict(headers)).encoded == encoded


@given(headers, st.binary())
def test_headers_and_data_round_trip(fields: Mapping[str, str], data: bytes) -> None:
    assert decode_headers(encode_headers(Headers(fields)) + data) == (fields, data)


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\1", b"\0\5" + one(b"a"), b"\xff\xff" + b"a"])
def test_headers_beyond_the_end_of_the_frame_are_refused(payload: bytes) -> None:
    with pytest.raises(SnakeMQBrokenMessage, match="headers of"):
        decode_headers(payload)


# -- on the wire


@given(st.lists(st.tuples(headers, st.binary(max_size=20)), max_size=5), st.booleans())
def test_messages_arrive_with_their_headers(
    sent: list[tuple[dict[str, str], bytes]], is_queued: bool
) -> None:
    network = MemoryNetwork(seed=1)
    alice, bob = Peer(network, "alice"), Peer(network, "bob")
    if not is_queued:
        alice.connect(bob)
    for fields, data in sent:
        alice.messaging.send_message("bob", Message(data, 60, 3, None, fields))
    if is_queued:
        alice.connect(bob)
    network.run_until_idle()
    assert [(m.headers, m.data, m.ttl, m.flags) for _, _, m in bob.received] == [
        (fields, data, 60, 3) for fields, data in sent
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_a_large_message_arrives_with_its_headers(alice: Peer, peer: MakePeer, count: int) -> None:
    bob = peer("bob")
    alice.connect(bob)
    data = bytes(range(256)) * 2000
    for number in range(count):
        headers = {"n": str(number)}
        alice.messaging.send_message("bob", Message(data, 60, headers=headers))
    alice.network.run_until_idle()
    assert [(m.headers, m.data) for _, _, m in bob.received] == [
        ({"n": str(number)}, data) for number in range(count)
    ]


def test_a_peer_that_understands_headers_gets_frame_18(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    bob.connect(alice)
    bob.say(VERSION, features(bits=HEADERS), identification("bob"))
    alice.messaging.send_message("bob", Message(b"hi", 600, 1, b"u" * 16, {"a": "b"}))
    alice.network.run_until_idle()
    assert bob.frames[-1] == (
        b"\x12" + b"u" * 16 + bytes.fromhex("00000258 00000001 0005 01 61 0001 62") + b"hi"
    )


@pytest.mark.parametrize("introduction", [[], [features()], [OF_2_0]])
@pytest.mark.parametrize("count", [1, 2])
def test_other_peers_get_the_message_without_its_headers(
    raw: MakeRawPeer, alice: Peer, introduction: list[bytes], count: int
) -> None:
    bob = raw()
    bob.connect(alice)
    bob.say(VERSION, *introduction, identification("bob"))
    for number in range(count):
        uuid = bytes([number]) * 16
        alice.messaging.send_message("bob", Message(b"hi", None, 1, uuid, {"a": "b"}))
    alice.network.run_until_idle()
    assert bob.messages == [message(b"hi", bytes([n]) * 16, flags=1) for n in range(count)]
    assert alice.messaging.stats().peers["bob"].headers_left_out == count


def test_a_message_without_headers_is_frame_3_to_everybody(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    bob.connect(alice)
    bob.say(VERSION, features(bits=HEADERS), identification("bob"))
    nothing: list[dict[str, str] | None] = [None, {}]
    for each in nothing:
        alice.messaging.send_message("bob", Message(b"hi", None, 0, b"u" * 16, each))
    alice.network.run_until_idle()
    assert bob.messages == [message(b"hi"), message(b"hi")]
    assert alice.messaging.stats().peers["bob"].headers_left_out == 0


def test_a_copy_of_a_message_has_its_headers(alice: Peer, peer: MakePeer) -> None:
    bob = peer("bob")
    alice.connect(bob)
    same = Message(b"", 60, headers={"a": "b"})
    uuids = [alice.messaging.send_message("bob", same) for _ in range(3)]
    alice.network.run_until_idle()
    assert [m.uuid for _, _, m in bob.received] == uuids
    assert [m.headers for _, _, m in bob.received] == [{"a": "b"}] * 3


def test_a_message_that_is_sent_again_has_its_headers(alice: Peer, peer: MakePeer) -> None:
    bob = peer("bob", manual_ack=True)
    conn_id, _ = alice.connect(bob)
    alice.messaging.send_message("bob", Message(b"", 60, headers={"a": "b"}))
    alice.network.run_until_idle()
    alice.link.close(conn_id)
    alice.network.run_until_idle()
    other = peer("bob", name="the next process")
    alice.connect(other)
    assert [m.headers for _, _, m in other.received] == [{"a": "b"}]


def test_a_forwarded_message_has_its_headers(alice: Peer, peer: MakePeer) -> None:
    bob, carol = peer("bob"), peer("carol")
    alice.connect(bob)
    bob.connect(carol)
    bob.messaging.on_message_recv.add(
        lambda _conn_id, ident, message: bob.messaging.send_message("carol", message)
    )
    alice.messaging.send_message("bob", Message(b"", 60, headers={"a": "b"}))
    alice.network.run_until_idle()
    assert [m.headers for _, _, m in carol.received] == [{"a": "b"}]


def test_a_repetition_with_headers_is_dropped(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    bob.connect(alice)
    frame = with_headers(one(b"a"), b"data")
    bob.say(VERSION, features(bits=ACKS), identification("bob"), frame, frame, message(b"data"))
    assert [m.headers for _, _, m in alice.received] == [{"a": ""}]
    assert bob.frames[-1] == frames.encode_ack(3)


def test_frame_18_may_have_no_headers(raw: MakeRawPeer, alice: Peer) -> None:
    raw().join(alice, "bob", with_headers(b"", b"data"))
    ((_, _, received),) = alice.received
    assert (received.headers, received.data) == ({}, b"data")


@pytest.mark.parametrize("encoded", NOT_HEADERS.values(), ids=NOT_HEADERS)
def test_a_peer_with_broken_headers_is_disconnected(
    raw: MakeRawPeer, alice: Peer, encoded: bytes
) -> None:
    bob = raw()
    bob.join(alice, "bob", message(b"before"), with_headers(encoded), message(b"after"))
    assert alice.heard == [b"before"]
    assert alice.kinds_of_errors == [SnakeMQBrokenMessage]
    assert not bob.is_connected


@pytest.mark.parametrize("size", range(27))
def test_a_short_message_with_headers_is_refused(raw: MakeRawPeer, alice: Peer, size: int) -> None:
    raw().join(alice, "bob", with_headers(b"")[:size])
    assert alice.kinds_of_errors == [SnakeMQBrokenMessage]
    assert alice.received == []


# -- sizes


def test_headers_count_for_the_limits_of_queues(alice: Peer, peer: MakePeer) -> None:
    carol = peer("carol", queue_limits=QueueLimits(peer_bytes=100))
    headers = {"a": "b" * 44}  # 50 bytes, with their length
    carol.messaging.send_message("bob", Message(b"", 60, headers=headers))
    carol.messaging.send_message("bob", Message(b"x" * 50, 60))
    with pytest.raises(QueueFull, match="100 bytes"):
        carol.messaging.send_message("bob", Message(b"x", 60))
    bob = peer("bob")
    carol.connect(bob)
    assert carol.messaging.stats().peers["bob"].delivered == 2
    carol.messaging.send_message("bob", Message(b"x" * 100, 60))  # all room is given back


@pytest.mark.parametrize("is_manual", [False, True])
def test_headers_count_for_the_window(peer: MakePeer, is_manual: bool) -> None:
    alice, bob = peer("alice"), peer("bob", window_bytes=100, manual_ack=is_manual)
    alice.connect(bob)
    for _ in range(10):
        alice.messaging.send_message("bob", Message(b"", 60, headers={"a": "b" * 44}))
    alice.network.run_until_idle()
    if is_manual:
        assert len(bob.received) == 2
        assert alice.messaging.stats().peers["bob"].in_flight_bytes == 100
        for _, _, received in bob.received:
            bob.messaging.ack(received)
        alice.network.run_until_idle()
        assert len(bob.received) == 4
    else:
        assert len(bob.received) == 10
    assert alice.errors == bob.errors == []


def test_a_peer_whose_headers_exceed_the_window_is_disconnected(
    raw: MakeRawPeer, peer: MakePeer
) -> None:
    alice = peer("alice", window_bytes=100, manual_ack=True)
    bob = raw()
    bob.connect(alice)
    frame = with_headers(one(b"a", b"b" * 44))
    again = [b"\x12" + bytes([n]) * 16 + frame[17:] for n in range(3)]
    bob.say(VERSION, features(bits=ACKS), identification("bob"), *again)
    assert alice.kinds_of_errors == [SnakeMQFlood]


def test_a_message_is_too_large_with_its_headers(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    bob.connect(alice)
    bob.say(VERSION, features(max_packet_size=75, bits=HEADERS), identification("bob"))
    alice.messaging.send_message("bob", Message(b"", 60, headers={"a": "b" * 45}))
    alice.messaging.send_message("bob", Message(b"", 60, headers={"a": "b" * 44}))
    alice.network.run_until_idle()
    assert [len(frame) for frame in bob.frames if frame[0] == 18] == [75]
    assert alice.messaging.stats().peers["bob"].too_large == 1
    assert "needs 76" in str(alice.errors[0][1])
