"""The ack of a rejected message says so, and only to peers that understand it."""

from __future__ import annotations

import logging
import struct
from typing import Any

import pytest
from memory_peers import (
    VERSION,
    MakePeer,
    MakeRawPeer,
    Peer,
    RawPeer,
    features,
    identification,
    restart,
)
from memory_peers import message as message_frame

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import DropReason, Reject
from snakemq.queues import MemoryQueuesStorage

ACKS, REJECTIONS = 0x1, 0x10
BOTH = ACKS | REJECTIONS


def ack(count: int) -> bytes:
    return struct.pack("!BQ", 17, count)


def rejected(number: int, code: int = 1, reason: bytes = b"") -> bytes:
    return struct.pack("!BQB", 23, number, code) + reason


def uuid(number: int) -> bytes:
    return bytes([number]) * 16


class Judge:
    """A callback that rejects messages with certain data."""

    def __init__(self, peer: Peer, *rejected: bytes, reason: str = "no") -> None:
        self.rejected = rejected
        self.reason = reason
        peer.messaging.on_message_recv.add(self._on_message_recv)

    def _on_message_recv(self, conn_id: str, ident: str, message: Message) -> None:
        if message.data in self.rejected:
            raise Reject(self.reason)


def join(raw: RawPeer, peer: Peer, bits: int, *more: bytes) -> None:
    raw.frames.clear()
    raw.connect(peer)
    raw.say(VERSION, features(bits=bits), identification("raw"), *more)


def answers(raw: RawPeer) -> list[bytes]:
    """The acks and rejections that were received."""
    return [frame for frame in raw.frames if frame[0] in (17, 23)]


# -- the receiver tells it


def test_a_rejection_comes_right_before_the_ack_that_covers_it(bob: Peer, raw: MakeRawPeer) -> None:
    Judge(bob, b"bad", reason="no such account")
    stranger = raw()
    join(stranger, bob, BOTH, message_frame(b"good"), message_frame(b"bad", uuid(2)))
    assert answers(stranger) == [rejected(2, 1, b"no such account"), ack(2)]


def test_log_says_whose_message_was_rejected(
    bob: Peer, raw: MakeRawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    Judge(bob, b"bad", reason="no such account")
    with caplog.at_level(logging.INFO, "snakemq.messaging"):
        join(raw(), bob, BOTH, message_frame(b"bad"))
    (line,) = [text for text in caplog.messages if "rejected" in text]
    assert line.startswith("rejected <Message ")
    assert " from 'raw': " in line
    assert "no such account" in line


@pytest.mark.parametrize("bits", [ACKS, ACKS | 0xEE])
def test_a_peer_that_does_not_know_rejections_gets_the_plain_ack(
    bob: Peer, raw: MakeRawPeer, bits: int
) -> None:
    Judge(bob, b"bad")
    stranger = raw()
    join(stranger, bob, bits, message_frame(b"bad"))
    assert answers(stranger) == [ack(1)]


@pytest.mark.parametrize("bits", [0, REJECTIONS])
def test_a_peer_without_acks_hears_of_no_rejection(
    network: MemoryNetwork, bob: Peer, raw: MakeRawPeer, bits: int
) -> None:
    Judge(bob, b"bad")
    stranger = raw()
    join(stranger, bob, bits, message_frame(b"bad"))
    network.advance(60)
    assert answers(stranger) == []


def test_a_long_reason_is_cut_between_two_characters(bob: Peer, raw: MakeRawPeer) -> None:
    Judge(bob, b"bad", reason="x" + "é" * 200)
    stranger = raw()
    join(stranger, bob, BOTH, message_frame(b"bad"))
    assert answers(stranger) == [rejected(1, 1, b"x" + "é".encode() * 99), ack(1)]


def test_a_message_that_was_tried_too_often_has_a_code_of_its_own(
    network: MemoryNetwork, peer: MakePeer, raw: MakeRawPeer
) -> None:
    bob, stranger = peer("bob", max_attempts=2), raw()

    def fail(*_: object) -> None:
        raise ValueError("the secret of bob")

    bob.messaging.on_message_recv.add(fail)
    join(stranger, bob, BOTH, message_frame(b"bad"))
    network.advance(60)
    assert answers(stranger) == [rejected(1, 2, b"given up after 2 attempts"), ack(1)]


def test_rejections_behind_a_gap_wait_for_it(
    network: MemoryNetwork, peer: MakePeer, raw: MakeRawPeer
) -> None:
    bob, stranger = peer("bob", manual_ack=True), raw()
    join(stranger, bob, BOTH, *(message_frame(b"%d" % n, uuid(n)) for n in range(4)))
    messages = [message for _, _, message in bob.received]
    bob.messaging.reject(messages[2], "third")
    bob.messaging.reject(messages[1], "second")
    network.run_until_idle()
    assert answers(stranger) == []
    bob.messaging.ack(messages[0])
    network.run_until_idle()
    assert answers(stranger) == [rejected(2, 1, b"second"), rejected(3, 1, b"third"), ack(3)]


def test_a_message_with_ttl_0_is_rejected_too(bob: Peer, raw: MakeRawPeer) -> None:
    Judge(bob, b"bad")
    stranger = raw()
    join(stranger, bob, BOTH, message_frame(b"bad", ttl=0))
    assert answers(stranger) == [rejected(1, 1, b"no"), ack(1)]


# -- a rejection is not forgotten when the connection breaks


def test_a_rejected_message_that_comes_again_is_rejected_again(
    network: MemoryNetwork, bob: Peer, raw: MakeRawPeer
) -> None:
    Judge(bob, b"bad")
    stranger = raw()
    both = message_frame(b"good", uuid(1)), message_frame(b"bad", uuid(2))
    join(stranger, bob, BOTH, *both)
    network.disconnect(stranger.conn_id)
    network.run_until_idle()
    join(stranger, bob, BOTH, *both, message_frame(b"new", uuid(3)))
    assert answers(stranger) == [rejected(2, 1, b"no"), ack(3)]
    assert bob.heard == [b"good", b"bad", b"new"]


def test_a_rejection_while_the_sender_is_away_is_told_when_it_comes_back(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True)
    told: list[str] = []
    alice.messaging.on_message_dropped.add(lambda _i, _m, _reason, detail: told.append(detail))
    at_alice, _ = alice.connect(bob)
    for n in range(3):
        alice.send("bob", b"%d" % n)
    network.run_until_idle()
    network.disconnect(at_alice)
    network.run_until_idle()
    bob.messaging.reject(bob.received[1][2], "the second one")
    network.run_until_idle()
    alice.connect(bob)
    for number in (0, 2):
        bob.messaging.ack(bob.received[number][2])
    network.run_until_idle()
    assert told == ["the second one"]
    assert alice.messaging.stats().peers["bob"].delivered == 2


def test_an_inbox_knows_in_the_next_process_what_was_rejected(
    network: MemoryNetwork, peer: MakePeer, raw: MakeRawPeer
) -> None:
    inbox = MemoryQueuesStorage()
    bob, stranger = peer("bob", inbox=inbox, name="first"), raw()
    Judge(bob, b"bad")
    frames = message_frame(b"good", uuid(1)), message_frame(b"bad", uuid(2))
    join(stranger, bob, BOTH, *frames)
    network.crash(bob.link)
    network.run_until_idle()
    bob = peer("bob", inbox=restart(inbox), name="second")
    join(stranger, bob, BOTH, *frames)
    assert bob.heard == []
    (told, last) = answers(stranger)
    assert told.startswith(rejected(2, 0))
    assert last == ack(2)


def test_an_inbox_remembers_two_windows_also_if_all_of_them_were_rejected(
    network: MemoryNetwork, peer: MakePeer, raw: MakeRawPeer
) -> None:
    inbox = MemoryQueuesStorage()
    bob, stranger = peer("bob", inbox=inbox, name="first", window_messages=5), raw()
    Judge(bob, b"bad")
    frames = [message_frame(b"bad", uuid(n)) for n in range(30)]
    join(stranger, bob, BOTH)
    for frame in frames:
        stranger.say(frame)
    network.crash(bob.link)
    network.run_until_idle()
    bob = peer("bob", inbox=restart(inbox), name="second", window_messages=5)
    join(stranger, bob, BOTH)
    for frame in frames[-10:]:
        stranger.say(frame)
    assert bob.heard == []
    assert len(answers(stranger)) == 20


# -- the sender hears it


def flying(network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, bits: int = BOTH) -> RawPeer:
    """A peer that has got three messages."""
    stranger = raw()
    for n in range(3):
        alice.send("raw", b"%d" % n)
    stranger.connect(alice)
    window = struct.pack("!BHIQIII", 16, 1, bits, 0, 100, 100_000, 0xFFFFFFFF)
    stranger.say(VERSION, window, identification("raw"))
    assert len(stranger.messages) == 3
    return stranger


@pytest.mark.parametrize("number", [0, 4, 1 << 63])
def test_a_rejection_of_what_is_not_in_flight_breaks_the_rules(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, number: int
) -> None:
    stranger = flying(network, alice, raw)
    stranger.say(rejected(number))
    assert alice.kinds_of_errors == [SnakeMQBrokenMessage]
    assert not stranger.is_connected


def test_a_rejection_of_what_was_acknowledged_breaks_the_rules(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    stranger = flying(network, alice, raw)
    stranger.say(ack(2), rejected(2))
    assert alice.kinds_of_errors == [SnakeMQBrokenMessage]


def test_a_second_rejection_of_a_message_breaks_the_rules(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    stranger = flying(network, alice, raw)
    stranger.say(rejected(2), rejected(2))
    assert alice.kinds_of_errors == [SnakeMQBrokenMessage]


@pytest.mark.parametrize("frame", [b"\x17", rejected(1)[:-1]])
def test_a_rejection_that_is_too_short_breaks_the_rules(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, frame: bytes
) -> None:
    stranger = flying(network, alice, raw)
    stranger.say(frame)
    assert alice.kinds_of_errors == [SnakeMQBrokenMessage]


@pytest.mark.parametrize("bits", [ACKS, ACKS | 0xEE])
def test_a_rejection_of_a_peer_that_has_not_announced_it_is_ignored(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, bits: int
) -> None:
    stranger = flying(network, alice, raw, bits)
    stranger.say(rejected(2), rejected(99), ack(3))
    assert (alice.errors, alice.dropped) == ([], [])
    assert alice.messaging.stats().peers["raw"].delivered == 3


def test_a_rejection_without_its_ack_means_nothing(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    stranger = flying(network, alice, raw)
    stranger.say(rejected(1))
    network.disconnect(stranger.conn_id)
    network.advance(1)
    assert alice.dropped == []
    stranger.connect(alice)
    window = struct.pack("!BHIQIII", 16, 1, BOTH, 0, 100, 100_000, 0xFFFFFFFF)
    stranger.say(VERSION, window, identification("raw"), ack(3))
    assert alice.messaging.stats().peers["raw"].delivered == 3


def test_rejections_are_told_after_what_was_delivered_with_them(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer
) -> None:
    stranger = flying(network, alice, raw)
    told: list[Any] = []
    alice.messaging.on_message_delivered.add(lambda _c, _i, uuid: told.append(uuid))
    alice.messaging.on_message_dropped.add(lambda *args: told.append(args[1:]))
    uuids = [frame[1:17] for frame in stranger.messages]
    reason = b"\xff" + b"x" * 300
    stranger.say(rejected(2, 77, reason), ack(3))
    (first, last, (message, why, detail)) = told
    assert [first, message.uuid, last] == uuids
    assert (message.data, why) == (b"1", DropReason.REJECTED)
    assert detail == "\ufffd" + "x" * 199


def test_a_persistent_message_that_is_rejected_is_deleted_from_the_storage(
    network: MemoryNetwork, bob: Peer, peer: MakePeer
) -> None:
    storage = MemoryQueuesStorage()
    alice = peer("alice", storage)
    Judge(bob, b"bad")
    alice.connect(bob)
    alice.send("bob", b"bad", flags=1)
    network.advance(1)
    assert storage.get_queues() == []


def test_callbacks_of_a_drop_come_in_pairs(network: MemoryNetwork, alice: Peer) -> None:
    told: list[object] = []
    alice.messaging.on_message_drop.add(lambda *args: told.append(args))
    alice.messaging.on_message_dropped.add(lambda *args: told.append(args))
    message = Message(b"data")
    alice.messaging.send_message("nobody", message)
    network.run_until_idle()
    assert told == [
        ("nobody", message.uuid),
        ("nobody", message, DropReason.ABSENT, ""),
    ]
