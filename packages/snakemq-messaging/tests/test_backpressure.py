"""What waits to be processed is bounded in bytes, and honest peers keep their connections."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from memory_peers import VERSION, MakePeer, MakeRawPeer, Peer, RawPeer, features, identification
from memory_peers import message as message_frame

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging._incoming._backpressure import MESSAGE_OVERHEAD, TICK

SIZE = 1000
_visits = count(1)

COST = SIZE + MESSAGE_OVERHEAD
"""What a message of that size needs."""


@pytest.fixture
def make_busy(peer: MakePeer) -> Callable[..., Peer]:
    """A peer that acknowledges later, and has room for ten messages."""

    def make_busy(**options: int) -> Peer:
        return peer("busy", manual_ack=True, **{"max_unprocessed_bytes": 10 * COST, **options})

    return make_busy


def is_reading(peer: Peer, number: int = -1) -> bool:
    return peer.link.is_reading(peer.connected[number][0])


def ack_all(peer: Peer, already: int = 0) -> int:
    """Acknowledge what has come. Returns how many messages that were, with those already done."""
    batch = peer.received[already:]
    for _, _, message in batch:
        peer.messaging.ack(message)
    peer.network.run_until_idle()
    return already + len(batch)


def visit(
    raw: MakeRawPeer, peer: Peer, ident: str, number_of: int, *, acks: bool = True, begin: int = 0
) -> RawPeer:
    """Somebody comes and sends some messages."""
    visitor = raw(f"{ident}, visit {next(_visits)}")
    visitor.connect(peer)
    visitor.say(VERSION, *([features(bits=1)] if acks else []), identification(ident))
    for number in range(begin, begin + number_of):
        uuid = f"{ident:10}{number:06}".encode()
        visitor.say(message_frame(bytes(SIZE), uuid))
    return visitor


# -- connected peers


def test_reading_stops_when_all_peers_together_have_too_much_unprocessed(
    network: MemoryNetwork, raw: MakeRawPeer, make_busy: Callable[..., Peer]
) -> None:
    busy = make_busy()
    visitors = [visit(raw, busy, f"visitor {n}", 4) for n in range(2)]
    assert is_reading(busy)
    visitors += [visit(raw, busy, f"visitor {n}", 20) for n in range(2, 4)]
    assert len(busy.received) == 8 + 3 + 1
    assert [is_reading(busy, n) for n in range(4)] == [True, True, False, False]
    network.advance(3600)
    assert len(busy.received) == 12
    done = 0
    while done < 48:
        assert len(busy.received) > done
        done = ack_all(busy, done)
    assert all(visitor.is_connected for visitor in visitors)
    assert all(is_reading(busy, n) for n in range(4))
    assert busy.errors == []


def test_reading_goes_on_when_half_of_it_is_processed(
    network: MemoryNetwork, raw: MakeRawPeer, make_busy: Callable[..., Peer]
) -> None:
    busy = make_busy()
    visit(raw, busy, "visitor", 20)
    messages = [message for _, _, message in busy.received]
    assert len(messages) == 11
    for message in messages[:5]:
        busy.messaging.ack(message)
        network.run_until_idle()
        assert not is_reading(busy)
    busy.messaging.ack(messages[5])
    network.run_until_idle()
    assert len(busy.received) == 20


def test_a_peer_that_has_something_to_acknowledge_goes_on(
    network: MemoryNetwork, raw: MakeRawPeer, make_busy: Callable[..., Peer]
) -> None:
    """Its acknowledgement may be what is waited for here, and it is behind its messages."""
    busy = make_busy()
    visitor = visit(raw, busy, "visitor", 0)
    busy.send("visitor", b"please acknowledge")
    network.run_until_idle()
    for number in range(20):
        visitor.say(message_frame(bytes(SIZE), b"%016d" % number))
    assert len(busy.received) == 20
    assert is_reading(busy)


def test_a_paused_peer_goes_on_when_it_is_sent_something(
    network: MemoryNetwork, raw: MakeRawPeer, make_busy: Callable[..., Peer]
) -> None:
    busy = make_busy()
    visit(raw, busy, "visitor", 20)
    assert not is_reading(busy)
    busy.send("visitor", b"please acknowledge")
    network.advance(2 * TICK)
    assert len(busy.received) == 20


def test_a_1_6_peer_is_stopped_where_a_window_would_end(
    network: MemoryNetwork, raw: MakeRawPeer, peer: MakePeer
) -> None:
    busy = peer("busy", manual_ack=True, window_messages=10)
    old = visit(raw, busy, "old", 500, acks=False)
    assert len(busy.received) == 11
    done = 0
    while done < 500:
        assert len(busy.received) > done
        done = ack_all(busy, done)
    assert old.is_connected
    assert busy.errors == []


def test_a_1_6_peer_that_comes_again_is_stopped_at_once(
    network: MemoryNetwork, raw: MakeRawPeer, peer: MakePeer
) -> None:
    busy = peer("busy", manual_ack=True, window_messages=10)
    for _ in range(50):
        old = visit(raw, busy, "old", 20, acks=False)
        network.disconnect(old.conn_id)
        network.run_until_idle()
    assert len(busy.received) < 20


def test_a_paused_connection_that_breaks_leaves_nothing_behind(
    network: MemoryNetwork, raw: MakeRawPeer, make_busy: Callable[..., Peer]
) -> None:
    busy = make_busy()
    visitor = visit(raw, busy, "visitor", 20)
    assert not is_reading(busy)
    network.disconnect(busy.connected[0][0])
    network.run_until_idle()
    ack_all(busy)
    network.advance(1)
    assert busy.messaging._wings.incoming.deliveries.backpressure.bytes == 0
    assert not visitor.is_connected
    visit(raw, busy, "visitor", 5, begin=20)
    assert is_reading(busy)


# -- absent peers


def left_by(raw: MakeRawPeer, busy: Peer, idents: range) -> None:
    """Peers come, send something and leave."""
    for number in idents:
        visitor = visit(raw, busy, f"visitor {number}", 4)
        busy.network.disconnect(visitor.conn_id)
        busy.network.run_until_idle()


def test_what_peers_leave_behind_is_bounded(
    raw: MakeRawPeer, make_busy: Callable[..., Peer], caplog: pytest.LogCaptureFixture
) -> None:
    busy = make_busy()
    forgotten: list[tuple[str, Message]] = []
    busy.messaging.on_message_forgotten.add(lambda *args: forgotten.append(args))
    left_by(raw, busy, range(10))
    deliveries = busy.messaging._wings.incoming.deliveries
    assert deliveries._absent_bytes <= 10 * COST
    assert [message for _, message in forgotten] == [m for _, _, m in busy.received[:32]]
    assert [ident for ident, _ in forgotten[:5]] == ["visitor 0"] * 4 + ["visitor 1"]
    (line,) = [r.getMessage() for r in caplog.records if "is absent" in r.getMessage()]
    assert "'visitor 0' is absent, and 4 messages of it are not processed" in line
    busy.network.advance(60)
    left_by(raw, busy, range(10, 11))
    assert "as were those of 7 peers before" in caplog.text


def test_what_was_forgotten_is_offered_again_when_it_comes_again(
    raw: MakeRawPeer, make_busy: Callable[..., Peer]
) -> None:
    busy = make_busy()
    left_by(raw, busy, range(4))
    first = [message for _, ident, message in busy.received if ident == "visitor 0"]
    visitor = visit(raw, busy, "visitor 0", 4)
    again = [message for _, ident, message in busy.received if ident == "visitor 0"][4:]
    assert [m.uuid for m in again] == [m.uuid for m in first]
    for message in first:
        busy.messaging.ack(message)  # has no effect, and is not an error
    busy.network.run_until_idle()
    assert not any(frame[0] == 17 for frame in visitor.frames)
    for message in again:
        busy.messaging.ack(message)
    busy.network.run_until_idle()
    assert visitor.frames[-1] == bytes.fromhex("11 0000000000000004")


def test_what_was_acknowledged_is_not_forgotten(
    raw: MakeRawPeer, make_busy: Callable[..., Peer]
) -> None:
    """The loop may not have seen the acks when it makes room."""
    busy = make_busy()
    left_by(raw, busy, range(2))
    busy.network.run_until_idle()
    visitor = visit(raw, busy, "visitor 2", 4)
    for _, ident, message in busy.received:
        if ident == "visitor 0":
            busy.messaging.ack(message)
    busy.link.close(busy.connected[-1][0])
    busy.network.run_until_idle()
    visit(raw, busy, "visitor 0", 4)
    assert [ident for _, ident, _ in busy.received].count("visitor 0") == 4
    assert not visitor.is_connected


def test_the_last_one_that_left_keeps_what_it_has_open(
    network: MemoryNetwork, raw: MakeRawPeer, make_busy: Callable[..., Peer]
) -> None:
    busy = make_busy(max_unprocessed_bytes=COST)
    visitor = raw("visitor")
    visitor.connect(busy)
    visitor.say(VERSION, features(bits=1), identification("visitor"))
    visitor.say(message_frame(bytes(100 * SIZE)))
    network.disconnect(busy.connected[0][0])
    network.run_until_idle()
    (message,) = (message for _, _, message in busy.received)
    busy.messaging.ack(message)
    network.run_until_idle()
    visitor.connect(busy)
    visitor.say(VERSION, features(bits=1), identification("visitor"))
    visitor.say(message_frame(bytes(100 * SIZE)))
    assert len(busy.received) == 1


def test_a_forgotten_message_is_not_offered_again(
    network: MemoryNetwork, raw: MakeRawPeer, peer: MakePeer
) -> None:
    busy = peer("busy", max_unprocessed_bytes=10 * COST, retry_delay=5.0)

    def fail(*_: object) -> None:
        raise ValueError("not yet")

    busy.messaging.on_message_recv.add(fail)
    left_by(raw, busy, range(4))
    network.advance(5)
    offers = [ident for _, ident, _ in busy.received]
    assert offers.count("visitor 0") == 4
    assert offers.count("visitor 3") == 8


def test_a_limit_below_1_is_refused(peer: MakePeer) -> None:
    with pytest.raises(ValueError, match=r"max_unprocessed_bytes must be .* at least 1, not 0"):
        peer("alice", max_unprocessed_bytes=0)
