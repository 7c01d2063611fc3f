"""Urgent messages, which the calling thread sends itself, and the express lane they take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lent_links import LendingNetwork, LentLink, in_flight, link_of, nobody_asks, send_urgent, sends
from memory_peers import (
    VERSION,
    MakePeer,
    MakeRawPeer,
    Peer,
    RawPeer,
    features,
    identification,
)
from watched_storage import WatchedStorage

from snakemq.exceptions import QueueFull, SnakeMQMessageTooLarge
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import DropReason, Messaging, QueueLimits
from snakemq.messaging._outgoing._express import MAX_EXPRESS_SIZE
from snakemq.packeter import Packeter


@pytest.fixture
def network() -> Iterator[MemoryNetwork]:
    network = LendingNetwork(at_once=True)
    yield network
    assert network.errors == []
    assert not any(link.lent for link in network.links.values() if isinstance(link, LentLink))


@pytest.fixture
def alice(peer: MakePeer) -> Peer:
    return nobody_asks(peer("alice"))


@pytest.fixture
def bob(peer: MakePeer) -> Peer:
    return nobody_asks(peer("bob"))


# -- from another thread than the loop, which is what a test is for the memory network


def test_urgent_message_of_a_check_waits_until_the_peer_is_admitted(
    alice: Peer, raw: MakeRawPeer
) -> None:
    def send_and_refuse(conn_id: str, ident: str) -> None:
        send_urgent(alice, ident, b"secret")
        raise KeyError

    stranger = raw()
    stranger.connect(alice)
    alice.messaging.on_connect.add(send_and_refuse)
    stranger.say(VERSION, features(bits=1))
    stranger.say(identification("bob"))  # alone, so that nothing else is to be handled
    assert stranger.messages == []


@pytest.mark.parametrize("ttl", [None, 60, 0])
def test_urgent_message_is_on_its_way_when_it_is_accepted(
    network: MemoryNetwork, alice: Peer, bob: Peer, ttl: float | None
) -> None:
    here, _ = alice.connect(bob)
    moment = len(network.trace)
    uuid = send_urgent(alice, "bob", b"now", ttl)
    assert in_flight(alice) == 1
    assert sends(alice, moment) == [here]
    assert bob.heard == []
    network.advance(1)
    assert [(m.data, m.uuid, m.ttl) for _, _, m in bob.received] == [(b"now", uuid, ttl)]
    assert in_flight(alice) == 0
    assert sends(alice, moment) == [here], "the loop had nothing left to do"
    stats = alice.messaging.stats().peers["bob"]
    assert (stats.sent, stats.sent_bytes, stats.delivered) == (1, 3, 1)
    assert stats.round_trip is not None


def test_message_that_is_not_urgent_is_left_to_the_loop(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    alice.send("bob", b"later")
    assert in_flight(alice) == 0
    assert link_of(alice).lendings == 0
    network.run_until_idle()
    assert bob.heard == [b"later"]


def test_loop_that_is_busy_sends_it_itself(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    link_of(alice).sleeps = False
    send_urgent(alice, "bob", b"soon")
    assert in_flight(alice) == 0
    network.run_until_idle()
    assert bob.heard == [b"soon"]


@pytest.mark.parametrize("size", [MAX_EXPRESS_SIZE, MAX_EXPRESS_SIZE + 1])
def test_large_one_is_left_to_the_loop(
    network: MemoryNetwork, alice: Peer, bob: Peer, size: int
) -> None:
    alice.connect(bob)
    send_urgent(alice, "bob", bytes(size))
    assert in_flight(alice) == (size <= MAX_EXPRESS_SIZE)
    network.run_until_idle()
    assert bob.heard == [bytes(size)]


def test_earlier_message_goes_first(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    alice.send("bob", b"1")
    send_urgent(alice, "bob", b"2")
    assert in_flight(alice) == 0
    network.run_until_idle()
    send_urgent(alice, "bob", b"3")
    alice.send("bob", b"4")
    send_urgent(alice, "bob", b"5")
    network.run_until_idle()
    assert bob.heard == [b"1", b"2", b"3", b"4", b"5"]


def test_on_message_sent_is_called_in_the_loop(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    told: list[tuple[str, bytes, bool]] = []
    alice.connect(bob)
    alice.messaging.on_message_sent.add(
        lambda _, ident, uuid: told.append((ident, uuid, alice.link.in_loop()))
    )
    uuids = [send_urgent(alice, "bob") for _ in range(2)]
    assert in_flight(alice) == 0
    network.run_until_idle()
    uuids.append(send_urgent(alice, "bob"))
    assert len(told) == 2
    network.run_until_idle()
    assert told == [("bob", uuid, True) for uuid in uuids]


@pytest.mark.parametrize("limit", [{"window_messages": 2}, {"window_bytes": 20}])
def test_full_window_holds_up_an_urgent_message(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, limit: dict[str, int]
) -> None:
    slow = peer("slow", manual_ack=True, **limit)
    alice.connect(slow)
    texts = [b"%010d" % number for number in range(5)]
    for text in texts:
        send_urgent(alice, "slow", text)
    assert in_flight(alice, "slow") == 2
    for count in (2, 4, 5):
        network.advance(1)
        assert slow.heard == texts[:count]
        for _, _, message in slow.received[count - (count % 2 or 2) : count]:
            slow.messaging.ack(message)
    network.advance(1)
    assert in_flight(alice, "slow") == 0
    assert send_urgent(alice, "slow")
    assert in_flight(alice, "slow") == 1


@pytest.mark.parametrize("is_broken", [False, True])
def test_messages_that_the_window_held_up_go_first(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, is_broken: bool
) -> None:
    slow = peer("slow", manual_ack=True, window_messages=2)
    here, _ = alice.connect(slow)
    texts = [b"%d" % number for number in range(4)]
    for text in texts:
        alice.send("slow", text)
    network.run_until_idle()
    if is_broken:
        network.disconnect(here)
        network.run_until_idle()
        alice.connect(slow)

    def send_last(*_: object) -> None:
        alice.messaging.on_message_delivered.remove(send_last)
        send_urgent(alice, "slow", b"last")

    alice.messaging.on_message_delivered.add(send_last)
    for _, _, message in slow.received[:2]:
        slow.messaging.ack(message)
    network.advance(1)
    for _, _, message in slow.received[2:]:
        slow.messaging.ack(message)
    network.advance(1)
    assert slow.heard == [*texts, b"last"]


def test_message_that_the_loop_sees_too_late_expires(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    uuid = alice.send("bob", b"late", ttl=1)
    network.clock.advance(1)
    network.run_until_idle()
    assert alice.dropped == [("bob", uuid)]
    assert bob.heard == []


def test_urgent_message_that_the_peer_does_not_take_is_reported(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", max_packet_size=4096)
    alice.connect(bob)
    uuid = send_urgent(alice, "bob", bytes(4096), ttl=0)
    assert send_urgent(alice, "bob", b"small")
    network.run_until_idle()
    assert alice.kinds_of_errors == [SnakeMQMessageTooLarge]
    assert alice.dropped == [("bob", uuid)]
    assert bob.heard == [b"small"]


@pytest.mark.parametrize("version", ["1.6", "2.x without acks"])
def test_peer_that_does_not_acknowledge_gets_it_the_ordinary_way(
    network: MemoryNetwork, alice: Peer, raw: MakeRawPeer, version: str
) -> None:
    old: RawPeer = raw()
    old.connect(alice)
    old.say(VERSION, *([] if version == "1.6" else [features()]), identification("old"))
    send_urgent(alice, "old", b"hello")
    assert in_flight(alice, "old") == 0
    network.run_until_idle()
    assert old.heard == [b"hello"]


def test_urgent_message_to_an_absent_peer_is_dropped_or_waits(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    lost = [send_urgent(alice, "bob", b"now or never", ttl=0)]
    network.run_until_idle()
    alice.connect(bob)
    alice.link.close(alice.link.connections[0])
    network.run_until_idle()
    lost.append(send_urgent(alice, "bob", b"now or never", ttl=0))
    send_urgent(alice, "bob", b"waits")
    network.run_until_idle()
    assert alice.dropped == [("bob", uuid) for uuid in lost]
    assert alice.messaging.stats().peers["bob"].dropped == {DropReason.ABSENT: 2}
    alice.connect(bob)
    assert bob.heard == [b"waits"]


def test_link_that_refuses_it_is_asked_again_by_the_loop(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    link_of(alice).error = MemoryError("no more")
    send_urgent(alice, "bob", b"after all")
    assert link_of(alice).lendings == 1
    assert not link_of(alice).lent
    assert in_flight(alice) == 0
    link_of(alice).error = None
    network.run_until_idle()
    assert bob.heard == [b"after all"]


def test_one_that_is_sent_while_the_connection_ends_is_queued_as_any_other(
    network: MemoryNetwork, bob: Peer
) -> None:
    link = network.link("early")
    # Called before the layers above know.
    link.on_disconnect.add(lambda conn_id: messaging.send_message("bob", message, urgent=True))
    message = Message(b"to the next connection", None)
    messaging = Messaging("early", "", Packeter(link))
    network.connect(link, bob.link)
    network.run_until_idle()
    bob.link.close(bob.link.connections[0])
    network.run_until_idle()
    assert messaging.stats().peers["bob"].in_flight == 0
    network.connect(link, bob.link)
    network.run_until_idle()
    assert bob.heard == [b"to the next connection"]


def test_peer_that_goes_and_comes_while_a_thread_looks_up_its_queue(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    link = link_of(alice)

    def go_and_come() -> None:
        link.before_borrowing = lambda: None
        alice.link.close(alice.link.connections[0])
        network.run_until_idle()
        alice.connect(bob)

    link.before_borrowing = go_and_come
    delivered: list[bytes] = []
    alice.messaging.on_message_delivered.add(lambda c, i, uuid: delivered.append(uuid))
    first = send_urgent(alice, "bob", b"first")
    network.run_until_idle()
    second = send_urgent(alice, "bob", b"second")
    network.run_until_idle()
    assert bob.heard == [b"first", b"second"]
    assert delivered == [first, second]


# -- what the system does not take over at once


@pytest.mark.parametrize("is_urgent", [True, False])
def test_rest_of_it_follows_and_it_is_reported_once(
    network: MemoryNetwork, alice: Peer, bob: Peer, is_urgent: bool
) -> None:
    here, _ = alice.connect(bob)
    network.shape(here, capacity=50)
    moment = len(network.trace)
    texts = [bytes([number]) * 200 for number in range(3)]
    uuids = [
        alice.messaging.send_message("bob", Message(text, None), urgent=is_urgent) for text in texts
    ]
    assert in_flight(alice) == is_urgent
    alice.messaging.on_message_sent.add(lambda *args: alice.sent.append(args))
    network.advance(1)
    assert bob.heard == texts
    assert len(sends(alice, moment)) >= 3 * 200 / 50
    assert [uuid for _, _, uuid in alice.sent] == uuids
    assert in_flight(alice) == 0


def test_one_that_could_not_be_sent_at_once_takes_no_room_in_the_window(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", window_bytes=1000)
    here, _ = alice.connect(bob)
    network.shape(here, capacity=50)
    for _ in range(5):
        send_urgent(alice, "bob", bytes(200))
        send_urgent(alice, "bob", bytes(200))
        assert in_flight(alice) == 1
        network.advance(1)
    network.shape(here, capacity=10_000)
    for count in (1, 2, 3):
        send_urgent(alice, "bob", bytes(200))
        assert in_flight(alice) == count


def test_connection_that_breaks_under_it_loses_only_what_does_not_wait(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    for capacity in (1000, 10):
        here, _ = alice.connect(bob)
        network.shape(here, capacity=capacity)
        text = b"%d" % capacity
        send_urgent(alice, "bob", text + b", waits", 60)
        network.disconnect(here)
        network.run_until_idle()
        assert alice.dropped == []
    here, _ = alice.connect(bob)
    lost = send_urgent(alice, "bob", b"does not wait", 0)
    send_urgent(alice, "bob", b"may be lost and comes again")
    assert in_flight(alice) == 2
    network.disconnect(here)
    network.run_until_idle()
    assert alice.dropped == [("bob", lost)]
    assert alice.messaging.stats().peers["bob"].dropped == {DropReason.DISCONNECTED: 1}
    alice.connect(bob)
    network.advance(1)
    assert bob.heard == [b"1000, waits", b"10, waits", b"may be lost and comes again"]


# -- stacks that have more to do with a message


def test_one_that_is_not_stored_is_sent_at_once_by_a_stack_with_a_storage(
    network: MemoryNetwork, peer: MakePeer, bob: Peer
) -> None:
    alice = nobody_asks(peer("alice", WatchedStorage(network)))
    alice.connect(bob)
    for ttl in (None, 0):
        send_urgent(alice, "bob", b"not stored", ttl)
    assert in_flight(alice) == 2


def test_persistent_one_is_stored_and_sent_by_the_loop(
    network: MemoryNetwork, peer: MakePeer, bob: Peer
) -> None:
    storage = WatchedStorage(network)
    alice = nobody_asks(peer("alice", storage))
    alice.connect(bob)
    send_urgent(alice, "bob", b"stored", flags=FLAG_PERSISTENT)
    send_urgent(alice, "bob", b"not stored")
    assert storage.texts() == [b"stored"]
    assert in_flight(alice) == 0
    network.advance(1)
    assert bob.heard == [b"stored", b"not stored"]
    assert storage.texts() == []


def test_limits_hold_for_an_urgent_message(
    network: MemoryNetwork, peer: MakePeer, bob: Peer
) -> None:
    alice = nobody_asks(peer("alice", queue_limits=QueueLimits(peer_messages=2)))
    alice.connect(bob)
    for text in (b"1", b"2"):
        send_urgent(alice, "bob", text)
    with pytest.raises(QueueFull):
        send_urgent(alice, "bob", b"3")
    assert in_flight(alice) == link_of(alice).lendings == 0
    network.advance(1)
    send_urgent(alice, "bob", b"4")
    network.advance(1)
    assert bob.heard == [b"1", b"2", b"4"]


# -- answers, which are sent in the loop


def test_answer_to_a_message_that_came_alone_leaves_at_once(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    _, there = alice.connect(bob)
    left: list[int] = []

    def answer(conn_id: str, ident: str, message: Message) -> None:
        send_urgent(bob, ident, b"answer")
        left.append(in_flight(bob, "alice"))

    bob.messaging.on_message_recv.add(answer)
    moment = len(network.trace)
    send_urgent(alice, "bob")
    network.run_until_idle()
    assert left == [1]
    assert sends(bob, moment)[0] == there
    assert alice.heard == [b"answer"]
    assert link_of(bob).lendings == 0


def test_answers_to_messages_that_came_together_leave_together(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    _, there = alice.connect(bob)
    left: list[int] = []

    def answer(conn_id: str, ident: str, message: Message) -> None:
        send_urgent(bob, ident, b"answer to " + message.data)
        left.append(in_flight(bob, "alice"))

    bob.messaging.on_message_recv.add(answer)
    moment = len(network.trace)
    alice.messaging.send_messages("bob", [Message(b"%d" % n, ttl=0) for n in range(3)])
    network.run_until_idle()
    assert left == [0, 0, 0]
    assert sends(bob, moment) == [there]
    assert alice.heard == [b"answer to %d" % number for number in range(3)]


# -- all of it, in any order

steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.booleans()),
        st.tuples(st.just("send many"), st.integers(1, 4)),
        st.tuples(st.just("run"), st.integers(1, 5)),
        st.tuples(st.just("sleep"), st.booleans()),
        st.tuples(st.just("ask"), st.booleans()),
        st.tuples(st.just("wait"), st.integers(1, 5)),
        st.tuples(st.just("break"), st.just(0)),
    ),
    max_size=40,
)


@given(steps=steps, seed=st.one_of(st.none(), st.integers(0, 999)), capacity=st.integers(1, 300))
def test_order_is_kept_and_each_arrives_once(
    steps: list[tuple[str, int]], seed: int | None, capacity: int
) -> None:
    network = LendingNetwork(seed, at_once=True, capacity=capacity)
    alice, bob = nobody_asks(Peer(network, "alice")), Peer(network, "bob", window_messages=5)
    network.keep_connected(alice.link, "bob", 0.1)
    network.run_until_idle()
    told: list[bytes] = []
    uuids: list[bytes] = []

    def on_sent(conn_id: str, ident: str, uuid: bytes) -> None:
        assert alice.link.in_loop()
        told.append(uuid)

    def next_message() -> Message:
        return Message(b"%d" % len(uuids), None)

    for kind, value in steps:
        if kind == "send":
            send = alice.messaging.send_message
            uuids.append(send("bob", next_message(), urgent=bool(value)))
        elif kind == "send many":
            batch = [Message(b"%d" % (len(uuids) + number), None) for number in range(value)]
            uuids += alice.messaging.send_messages("bob", batch)
        elif kind == "run":
            network.run_passes(value)
        elif kind == "sleep":
            link_of(alice).sleeps = bool(value)
        elif kind == "ask":
            alice.messaging.on_message_sent.callbacks = (on_sent,) if value else ()
        elif kind == "wait":
            network.advance(value / 10)
        elif alice.link.connections:
            network.disconnect(alice.link.connections[0])
    network.advance(5)
    assert bob.heard == [b"%d" % number for number in range(len(uuids))]
    assert set(told) <= set(uuids)
    assert in_flight(alice) == 0
    assert alice.errors == bob.errors == network.errors == []
