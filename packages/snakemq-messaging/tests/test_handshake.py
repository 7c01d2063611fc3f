"""How two peers introduce themselves, and what happens to one that does not behave."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from memory_peers import (
    PING,
    VERSION,
    MakePeer,
    MakeRawPeer,
    Peer,
    RawPeer,
    features,
    identification,
    message,
)

from snakemq.callbacks import Callback
from snakemq.exceptions import (
    SnakeMQBrokenMessage,
    SnakeMQIncompatibleProtocol,
    SnakeMQNoIdent,
    SnakeMQPacketTooLarge,
    SnakeMQTimeout,
)
from snakemq.link.testing import MemoryNetwork, byte_by_byte
from snakemq.messaging import (
    IDENTIFICATION_TIMEOUT,
    MAX_HANDSHAKE_PACKET_SIZE,
    MAX_IDENT_LENGTH,
    Messaging,
)
from snakemq.packeter import Packeter

WRONG_VERSION = bytes.fromhex("00 00000002")
INCOMPATIBLE_PROTOCOL = b"\1"
UNKNOWN_FRAMES = [b"\x06", b"\x0f rest", b"\x1f", b"\x80" * 100, b"\xff"]


@pytest.fixture
def stranger(raw: MakeRawPeer, alice: Peer) -> RawPeer:
    """Connected with alice, and has not said a word."""
    stranger = raw()
    stranger.connect(alice)
    return stranger


def test_version_then_features_then_identification_byte_for_byte(stranger: RawPeer) -> None:
    stream = stranger.stream
    assert stream[:9] == bytes.fromhex("00000005 00 00000001")
    (size,) = struct.unpack_from("!I", stream, 9)
    introduced = stream[13 : 13 + size]
    assert introduced[:3] == bytes.fromhex("10 0001")
    assert len(introduced) >= 27
    assert stream[13 + size :] == bytes.fromhex("00000006 02") + b"alice"


def test_features_tell_the_largest_packet(raw: MakeRawPeer, peer: MakePeer) -> None:
    stranger = raw()
    stranger.connect(peer("alice", max_packet_size=12345))
    assert struct.unpack_from("!I", stranger.frames[1], 23) == (12345,)


def test_features_tell_what_a_layer_above_announces(raw: MakeRawPeer, peer: MakePeer) -> None:
    alice, bob = peer("alice"), peer("bob")
    assert alice.messaging.announced_by("bob") == 0
    alice.messaging.announce(0x10000)
    bob.messaging.announce(0x20000)
    bob.messaging.announce(0x40000)
    bob.connect(alice)
    assert alice.messaging.announced_by("bob") & ~0xFFFF == 0x60000
    assert bob.messaging.announced_by("alice") & ~0xFFFF == 0x10000


@pytest.mark.parametrize("bits", [1, 0x8000, 0x10001, -0x10000, 1 << 32])
def test_bits_of_messaging_itself_cannot_be_announced(peer: MakePeer, bits: int) -> None:
    with pytest.raises(ValueError, match="layers above"):
        peer("alice").messaging.announce(bits)


def test_features_tell_an_epoch_that_changes_with_every_start(
    raw: MakeRawPeer, peer: MakePeer
) -> None:
    epochs = set()
    for number in range(3):
        stranger = raw(f"raw{number}")
        stranger.connect(peer("alice", name=f"alice{number}"))
        epochs.add(stranger.frames[1][7:15])
    assert len(epochs) == 3


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_peers_find_each_other_however_the_stream_is_cut(seed: int | None) -> None:
    network = MemoryNetwork(seed, send_cut=byte_by_byte, recv_cut=byte_by_byte)
    alice, bob = Peer(network, "alice"), Peer(network, "bob")
    at_alice, at_bob = alice.connect(bob)
    assert alice.connected == [(at_alice, "bob")]
    assert bob.connected == [(at_bob, "alice")]
    alice.send("bob", b"hello")
    network.run_until_idle()
    assert bob.heard == [b"hello"]


def test_a_peer_that_introduced_itself_as_1_6_is_treated_as_1_6(
    raw: MakeRawPeer, alice: Peer
) -> None:
    old = raw()
    conn_id = old.join(alice, "old", message(b"question"))
    uuid = alice.send("old", b"answer")
    old.network.advance(100)
    assert alice.connected == [(conn_id, "old")]
    assert alice.heard == [b"question"]
    assert alice.sent == [(conn_id, "old", uuid)]
    assert old.messages == [message(b"answer", uuid)]
    # What it does not know it was told once, before it could say that it is one of 1.6.
    assert [frame[0] for frame in old.frames] == [0, 16, 2, 3]


def test_version_is_not_waited_for(raw: MakeRawPeer, alice: Peer) -> None:
    """1.6 does not insist on it either."""
    stranger = raw()
    stranger.connect(alice)
    stranger.say(identification("bob"))
    assert [ident for _, ident in alice.connected] == ["bob"]


def test_unknown_frames_are_ignored_before_the_identification(
    raw: MakeRawPeer, alice: Peer
) -> None:
    stranger = raw()
    stranger.connect(alice)
    stranger.say(*UNKNOWN_FRAMES, VERSION, *UNKNOWN_FRAMES, identification("bob"))
    assert [ident for _, ident in alice.connected] == ["bob"]
    assert alice.errors == []


def test_unknown_frames_are_ignored_after_the_identification(raw: MakeRawPeer, alice: Peer) -> None:
    stranger = raw()
    stranger.join(alice, "bob", message(b"one"), *UNKNOWN_FRAMES, message(b"two"))
    assert alice.heard == [b"one", b"two"]
    assert alice.errors == []


def test_features_of_a_later_version_are_understood(raw: MakeRawPeer, alice: Peer) -> None:
    later = raw()
    later.connect(alice)
    newer = features(bits=0xFFFF0000, version=7) + b"\x80\0\5later" + b"\x81\0\0"
    later.say(VERSION, newer, identification("later"), message(b"hello"))
    alice.send("later", b"welcome")
    later.network.run_until_idle()
    assert alice.heard == [b"hello"]
    assert later.heard == [b"welcome"]


def test_features_that_are_cut_are_refused(stranger: RawPeer, alice: Peer) -> None:
    stranger.say(VERSION, features()[:-1], identification("bob"))
    assert not stranger.is_connected
    assert alice.kinds_of_errors == [SnakeMQBrokenMessage]
    assert alice.connected == []


def test_wrong_version_is_answered_reported_and_closed(raw: MakeRawPeer, alice: Peer) -> None:
    stranger = raw()
    conn_id = stranger.connect(alice)
    stranger.say(WRONG_VERSION, identification("bob"))
    stranger.network.advance(60)
    assert stranger.frames[3:] == [INCOMPATIBLE_PROTOCOL]
    assert not stranger.is_connected
    assert [c for c, _ in alice.errors] == [conn_id]
    assert alice.kinds_of_errors == [SnakeMQIncompatibleProtocol]
    assert alice.connected == alice.disconnected == []


def test_wrong_version_of_a_peer_that_does_not_read_is_closed_all_the_same(
    network: MemoryNetwork, stranger: RawPeer, alice: Peer
) -> None:
    network.stall(alice.link.connections[0])
    stranger.say(WRONG_VERSION)
    network.advance(IDENTIFICATION_TIMEOUT)
    assert not stranger.is_connected
    assert alice.kinds_of_errors == [SnakeMQIncompatibleProtocol]


@pytest.mark.parametrize("introduction", [[], [VERSION, identification("bob")]])
def test_being_refused_for_the_version_is_reported_and_closed(
    stranger: RawPeer, alice: Peer, introduction: list[bytes]
) -> None:
    stranger.say(*introduction, INCOMPATIBLE_PROTOCOL)
    assert not stranger.is_connected
    assert alice.kinds_of_errors == [SnakeMQIncompatibleProtocol]


def test_message_before_the_identification_is_refused(stranger: RawPeer, alice: Peer) -> None:
    stranger.say(VERSION, message(b"who am I?"), identification("bob"))
    assert not stranger.is_connected
    assert alice.kinds_of_errors == [SnakeMQNoIdent]
    assert alice.received == []


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0\0\0\1",
        VERSION + b"\0",
        b"\2\xff",
        identification("x" * (MAX_IDENT_LENGTH + 1)),
        b"\x10",
    ],
    ids=["empty", "short version", "long version", "not UTF-8", "long ident", "short features"],
)
def test_broken_introduction_is_refused(stranger: RawPeer, alice: Peer, frame: bytes) -> None:
    stranger.say(frame)
    assert not stranger.is_connected
    assert alice.kinds_of_errors == [SnakeMQBrokenMessage]


@pytest.mark.parametrize("frame", [b"", message(b"")[:-1], b"\3", VERSION[:-1]])
def test_broken_frame_after_the_identification_is_refused(
    raw: MakeRawPeer, alice: Peer, frame: bytes
) -> None:
    stranger = raw()
    stranger.join(alice, "bob", message(b"before"), frame, message(b"after"))
    assert not stranger.is_connected
    assert alice.kinds_of_errors == [SnakeMQBrokenMessage]
    assert alice.heard == [b"before"]


def test_one_bad_peer_harms_no_other(raw: MakeRawPeer, alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    raw().join(alice, "bad", b"\3")
    bob.send("alice", b"still here")
    alice.network.run_until_idle()
    assert alice.heard == [b"still here"]
    assert alice.link.connections == (alice.connected[0][0],)


def test_second_identification_changes_nothing(raw: MakeRawPeer, alice: Peer) -> None:
    stranger = raw()
    conn_id = stranger.join(alice, "bob", identification("eve"), message(b"hello"))
    assert alice.connected == [(conn_id, "bob")]
    assert [ident for _, ident, _ in alice.received] == ["bob"]


def test_a_silent_connection_is_closed_when_its_time_is_over(
    network: MemoryNetwork, raw: MakeRawPeer, alice: Peer
) -> None:
    stranger = raw()
    conn_id = stranger.connect(alice)
    network.advance(IDENTIFICATION_TIMEOUT - 0.001)
    assert stranger.is_connected
    network.advance(0.001)
    assert not stranger.is_connected
    assert [c for c, _ in alice.errors] == [conn_id]
    assert alice.kinds_of_errors == [SnakeMQTimeout]


def test_other_frames_do_not_count_as_identification(
    network: MemoryNetwork, raw: MakeRawPeer, alice: Peer
) -> None:
    alice.messaging.identification_timeout = 3
    stranger = raw()
    stranger.connect(alice)
    for _ in range(5):
        stranger.say(VERSION, PING, b"\xff")
        network.advance(0.5)
    assert stranger.is_connected
    network.advance(0.5)
    assert not stranger.is_connected
    assert alice.kinds_of_errors == [SnakeMQTimeout]


def test_an_identified_peer_has_all_the_time_in_the_world(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    network.advance(1e6)
    assert alice.errors == bob.errors == []
    assert alice.disconnected == []


def test_before_the_identification_packets_are_small(stranger: RawPeer, alice: Peer) -> None:
    stranger.say(b"\xff" * MAX_HANDSHAKE_PACKET_SIZE)
    assert stranger.is_connected
    stranger.say(b"\xff" * (MAX_HANDSHAKE_PACKET_SIZE + 1))
    assert not stranger.is_connected
    assert alice.kinds_of_errors == [SnakeMQPacketTooLarge]


def test_large_packet_may_come_right_behind_the_identification(
    raw: MakeRawPeer, alice: Peer
) -> None:
    stranger = raw()
    stranger.join(alice, "bob", message(b"x" * 100_000))
    assert alice.heard == [b"x" * 100_000]


def test_largest_packet_of_a_stack_holds_after_the_identification(
    raw: MakeRawPeer, peer: MakePeer
) -> None:
    alice, stranger = peer("alice", max_packet_size=5000), raw()
    stranger.join(alice, "bob", message(b"x" * 4975))
    assert len(alice.received) == 1
    stranger.say(message(b"x" * 4976))
    assert not stranger.is_connected
    assert alice.kinds_of_errors == [SnakeMQPacketTooLarge]


@pytest.mark.parametrize("ident", ["x" * MAX_IDENT_LENGTH, "🐍" * MAX_IDENT_LENGTH, "a\0b\n"])
def test_every_ident_that_is_not_too_long_will_do(peer: MakePeer, alice: Peer, ident: str) -> None:
    other = peer(ident, name="other")
    alice.connect(other)
    alice.send(ident, b"for you")
    alice.network.run_until_idle()
    assert other.heard == [b"for you"]


@pytest.mark.parametrize(
    ("ident", "error"),
    [
        ("", ValueError),
        ("x" * 51, ValueError),
        ("\ud800", ValueError),
        (b"alice", TypeError),
        (None, TypeError),
    ],
)
def test_wrong_ident_of_this_peer_is_refused(
    network: MemoryNetwork, ident: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Messaging(ident, "", Packeter(network.link("alice")))


@pytest.mark.parametrize("name", ["keepalive_wait", "identification_timeout"])
@pytest.mark.parametrize(
    ("value", "error"), [(None, TypeError), ("1", TypeError), (-1, ValueError)]
)
def test_times_that_make_no_sense_are_refused_when_they_are_set(
    alice: Peer, name: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match=name):
        setattr(alice.messaging, name, value)


@pytest.mark.parametrize(
    "settings",
    [{"window_messages": 0}, {"window_bytes": 2**32}, {"max_attempts": 0}, {"retry_delay": -1}],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(
    network: MemoryNetwork, settings: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Messaging("carol", "", Packeter(network.link("carol")), **settings)  # type: ignore[arg-type]


def test_the_one_that_has_had_the_most_time_to_identify_itself_gives_way(
    network: MemoryNetwork, raw: MakeRawPeer
) -> None:
    link = network.link("alice")
    on_crowded: Callback[[Callable[[str], bool]]] = Callback()
    link.on_crowded = on_crowded  # type: ignore[attr-defined]
    messaging = Messaging("alice", "", Packeter(link))
    peers = [raw(f"raw{number}") for number in range(4)]
    ids = []
    for peer in peers:
        network.connect(peer.link, link)
        network.run_until_idle()
        ids.append(link.connections[-1])
    peers[0].say(VERSION, identification("bob"))
    on_crowded(lambda conn_id: conn_id != ids[1])  # that one would not help, say
    network.run_until_idle()
    assert link.connections == (ids[0], ids[1], ids[3])
    on_crowded(lambda conn_id: True)
    on_crowded(lambda conn_id: True)
    assert link.connections == (ids[0],)
    on_crowded(lambda conn_id: True)
    assert messaging.is_connected("bob")
