"""How many messages the application has at a time, and what the log says if it settles none."""

from __future__ import annotations

import pytest
from memory_peers import MakePeer, MakeRawPeer, Peer
from memory_peers import message as message_frame

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging._incoming._stalls import STALL_AFTER


def delivered_to(peer: Peer) -> list[bytes]:
    told: list[bytes] = []
    peer.messaging.on_message_delivered.add(lambda _c, _i, uuid: told.append(uuid))
    return told


def send(peer: Peer, count: int, prefix: bytes = b"") -> list[bytes]:
    return [peer.send("bob", b"%s%d" % (prefix, n)) for n in range(count)]


def no_messages() -> set[Message]:
    return set()


def ack_next(peer: Peer, acked: set[Message]) -> None:
    message = next(message for _, _, message in peer.received if message not in acked)
    acked.add(message)
    peer.messaging.ack(message)


@pytest.mark.parametrize("prefetch", [1, 3])
def test_the_application_has_no_more_messages_than_it_wants(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, prefetch: int
) -> None:
    bob, delivered, acked = (
        peer("bob", manual_ack=True, prefetch=prefetch),
        delivered_to(alice),
        no_messages(),
    )
    alice.connect(bob)
    uuids = send(alice, 10)
    network.run_until_idle()
    for number in range(10):
        assert len(bob.received) == min(10, number + prefetch)
        ack_next(bob, acked)
        network.run_until_idle()
    assert bob.heard == [b"%d" % n for n in range(10)]
    assert delivered == uuids


def test_a_callback_that_settles_at_once_gets_all_of_them(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True, prefetch=1)
    bob.messaging.on_message_recv.add(lambda _c, _i, message: bob.messaging.ack(message))
    alice.connect(bob)
    send(alice, 10)
    network.run_passes(10)
    assert bob.heard == [b"%d" % n for n in range(10)]


def test_the_limit_is_for_all_senders_together_and_they_take_turns(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob, carol, acked = peer("bob", manual_ack=True, prefetch=1), peer("carol"), no_messages()
    alice.connect(bob)
    carol.connect(bob)
    send(alice, 3, b"alice ")
    network.run_until_idle()
    send(carol, 3, b"carol ")
    network.run_until_idle()
    for _ in range(6):
        ack_next(bob, acked)
        network.run_until_idle()
    assert bob.heard == [
        *(b"alice 0", b"alice 1", b"carol 0", b"alice 2", b"carol 1", b"carol 2"),
    ]


def test_a_released_message_comes_before_those_that_wait(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True, prefetch=2)
    alice.connect(bob)
    send(alice, 4)
    network.run_until_idle()
    bob.messaging.release(bob.received[0][2])
    network.run_until_idle()
    assert bob.heard == [b"0", b"1", b"0"]


def test_a_retried_message_makes_room_for_the_next_one(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True, prefetch=1, retry_delay=5)
    alice.connect(bob)
    send(alice, 3)
    network.run_until_idle()
    bob.messaging.retry(bob.received[0][2])
    network.advance(6)
    assert bob.heard == [b"0", b"1"]
    bob.messaging.ack(bob.received[1][2])
    network.run_until_idle()
    assert bob.heard == [b"0", b"1", b"0"]


def test_a_callback_that_raises_makes_room_for_the_next_one(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True, prefetch=1, retry_delay=5)
    failures = [ValueError("once")]

    def process(*_: object) -> None:
        if failures:
            raise failures.pop()

    bob.messaging.on_message_recv.add(process)
    alice.connect(bob)
    send(alice, 2)
    network.run_until_idle()
    assert bob.heard == [b"0", b"1"]


def test_messages_that_wait_here_are_offered_after_the_sender_has_gone(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob, delivered, acked = (
        peer("bob", manual_ack=True, prefetch=1),
        delivered_to(alice),
        no_messages(),
    )
    at_alice, _ = alice.connect(bob)
    uuids = send(alice, 3)
    network.run_until_idle()
    network.disconnect(at_alice)
    network.run_until_idle()
    for _ in range(3):
        ack_next(bob, acked)
        network.run_until_idle()
    alice.connect(bob)
    network.run_until_idle()
    assert bob.heard == [b"0", b"1", b"2"]
    assert delivered == uuids


def test_messages_that_wait_here_are_not_offered_twice_after_a_reconnection(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob, acked = peer("bob", manual_ack=True, prefetch=1), no_messages()
    at_alice, _ = alice.connect(bob)
    send(alice, 3)
    network.run_until_idle()
    network.disconnect(at_alice)
    network.run_until_idle()
    alice.connect(bob)
    for _ in range(3):
        ack_next(bob, acked)
        network.run_until_idle()
    assert bob.heard == [b"0", b"1", b"2"]


@pytest.mark.parametrize("prefetch", [0, -1])
def test_a_prefetch_below_one_is_refused(peer: MakePeer, prefetch: int) -> None:
    with pytest.raises(ValueError, match="prefetch must be None or a whole number"):
        peer("bob", prefetch=prefetch)


# -- what the statistics and the log say


def test_the_statistics_tell_how_many_messages_nobody_has_settled(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True, prefetch=2)
    at_alice, _ = alice.connect(bob)
    send(alice, 5)
    network.run_until_idle()
    assert bob.messaging.stats().peers["alice"].unacked == 5
    bob.messaging.ack(bob.received[0][2])
    bob.messaging.reject(bob.received[1][2])
    network.run_until_idle()
    assert bob.messaging.stats().peers["alice"].unacked == 3
    network.disconnect(at_alice)
    network.run_until_idle()
    assert bob.messaging.stats().peers["alice"].unacked == 3


def test_the_statistics_tell_when_a_peer_was_seen_last(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    bob.send("carol")
    network.run_until_idle()
    assert bob.messaging.stats().peers["carol"].last_seen is None
    at_alice, _ = alice.connect(bob)
    network.advance(5)
    assert bob.messaging.stats().peers["alice"].last_seen == 5
    send(alice, 1)
    network.advance(2)
    assert bob.messaging.stats().peers["alice"].last_seen == 2
    network.disconnect(at_alice)
    network.advance(3)
    assert bob.messaging.stats().peers["alice"].last_seen == 5


@pytest.mark.parametrize(
    "options", [{"window_messages": 3}, {"window_bytes": 3}, {"window_messages": 3, "prefetch": 1}]
)
def test_the_log_says_once_a_minute_that_a_full_window_is_not_settled(
    network: MemoryNetwork,
    alice: Peer,
    peer: MakePeer,
    options: dict[str, int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    bob = peer("bob", manual_ack=True, **options)
    alice.connect(bob)
    send(alice, 5)
    network.advance(STALL_AFTER - 1)
    assert caplog.messages == []
    network.advance(50)
    (line,) = caplog.messages
    assert line.startswith("'alice' can send nothing more: 3 of its messages fill the window")
    network.advance(60)
    assert len(caplog.messages) == 2


def test_the_log_says_nothing_about_an_application_that_settles_slowly(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, caplog: pytest.LogCaptureFixture
) -> None:
    bob, acked = peer("bob", manual_ack=True, window_messages=3), no_messages()
    alice.connect(bob)
    send(alice, 20)
    for _ in range(15):
        network.advance(STALL_AFTER - 1)
        ack_next(bob, acked)
    assert caplog.messages == []


def test_the_log_says_nothing_about_a_connection_that_has_ended(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, caplog: pytest.LogCaptureFixture
) -> None:
    bob = peer("bob", manual_ack=True, window_messages=3)
    at_alice, _ = alice.connect(bob)
    send(alice, 5)
    network.run_until_idle()
    network.disconnect(at_alice)
    network.advance(60)
    assert caplog.messages == []


def test_a_1_6_peer_waits_for_room_as_well(
    network: MemoryNetwork, peer: MakePeer, raw: MakeRawPeer
) -> None:
    bob, old, acked = peer("bob", manual_ack=True, prefetch=1), raw(), no_messages()
    old.join(bob, "old", *(message_frame(b"%d" % n) for n in range(3)))
    for number in range(3):
        assert len(bob.received) == number + 1
        ack_next(bob, acked)
        network.run_until_idle()
    assert bob.heard == [b"0", b"1", b"2"]
