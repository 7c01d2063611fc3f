"""Looking into the queue of a peer, and taking messages out of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from unittest import mock

import pytest
from memory_peers import MakePeer, Peer

from snakemq.exceptions import LoopError, StorageError
from snakemq.link import Link
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import DropReason, Messaging, Purged, QueuedState
from snakemq.messaging._errands import Errands
from snakemq.messaging._loop_calls import LoopCalls
from snakemq.messaging._outgoing._queue import _queue
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage

PATIENCE = 30.0
"""Seconds after which a test has failed; it goes on as soon as it can."""

LARGE = 1024 * 1024


def states(peer: Peer, ident: str = "bob", limit: int = 100) -> list[tuple[bytes, str]]:
    rows = peer.messaging.queue(ident).list(limit, with_data=True)
    return [(row.message.data, row.state.value) for row in rows if row.message is not None]


def fates(peer: Peer) -> list[tuple[bytes, DropReason]]:
    told: list[tuple[bytes, DropReason]] = []
    peer.messaging.on_message_dropped.add(
        lambda _ident, m, reason, _: told.append((m.data, reason))
    )
    return told


@pytest.fixture
def bob(peer: MakePeer) -> Peer:
    return peer("bob", manual_ack=True)


def pageable(network: MemoryNetwork, *messages: Message) -> MemoryQueuesStorage:
    """What an earlier process has left for bob."""
    storage = MemoryQueuesStorage(clock=network.clock.time)
    for message in messages:
        storage.push("bob", message)
    return storage


@pytest.fixture
def stored(network: MemoryNetwork, peer: MakePeer) -> Peer:
    """A peer with messages that an earlier process has left in the storage."""
    messages = [Message(data, None, FLAG_PERSISTENT) for data in (b"1", b"2", b"3")]
    return peer("alice", pageable(network, *messages))


# -- looking


def test_a_queue_that_is_not_there_is_empty(alice: Peer) -> None:
    assert alice.messaging.queue("bob").list() == []
    assert not alice.messaging.queue("bob").cancel(b"u" * 16)
    assert alice.messaging.drop_queue("bob") == Purged(0, 0)


def test_a_row_tells_what_is_known_of_a_message(network: MemoryNetwork, alice: Peer) -> None:
    uuid = alice.messaging.send_message(
        "bob", Message(b"abc", 10, FLAG_PERSISTENT, None, {"k": "v"})
    )
    network.advance(4)
    (row,) = alice.messaging.queue("bob").list()
    assert (row.uuid, row.size, row.flags, row.message) == (uuid, 10, FLAG_PERSISTENT, None)
    assert (row.ttl, row.age, row.state) == (6, 4, QueuedState.WAITING)


def test_a_message_that_the_loop_has_not_seen_is_listed(alice: Peer) -> None:
    alice.send("bob", b"x")
    assert states(alice) == [(b"x", "waiting")]


def test_rows_come_in_the_order_of_sending(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    alice.connect(peer("bob", manual_ack=True, window_messages=2))
    for data in (b"1", b"2", b"3", b"4"):
        alice.send("bob", data)
    network.run_until_idle()
    expected = [(b"1", "in flight"), (b"2", "in flight"), (b"3", "waiting"), (b"4", "waiting")]
    assert states(alice) == expected
    assert states(alice, limit=3) == expected[:3]


def test_a_message_that_was_in_flight_is_shown_as_returned(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    at_alice, _ = alice.connect(bob)
    alice.send("bob", b"x")
    network.run_until_idle()
    network.disconnect(at_alice)
    network.run_until_idle()
    assert states(alice) == [(b"x", "returned")]


def test_a_message_that_is_too_large_is_shown_as_such(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    alice.connect(peer("bob", max_packet_size=100))
    alice.send("bob", bytes(200))
    network.run_until_idle()
    assert states(alice) == [(bytes(200), "too large")]


def test_a_large_message_shows_how_far_it_has_come(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    at_alice, _ = alice.connect(bob)
    network.stall(at_alice)
    alice.send("bob", bytes(LARGE))
    network.run_until_idle()
    (row,) = alice.messaging.queue("bob").list()
    assert row.state is QueuedState.IN_CHUNKS
    assert 0 < row.sent_bytes < LARGE


def test_what_is_only_in_the_storage_is_listed_before_the_loop_runs(stored: Peer) -> None:
    assert states(stored) == [(b"1", "stored"), (b"2", "stored"), (b"3", "stored")]
    assert states(stored, limit=2) == [(b"1", "stored"), (b"2", "stored")]


def test_what_waits_behind_the_storage_comes_last(stored: Peer) -> None:
    stored.send("bob", b"transient")
    assert states(stored)[-1] == (b"transient", "waiting")
    assert len(states(stored)) == 4


@pytest.mark.parametrize("limit", [0, -1, 1.5])
def test_a_limit_is_a_positive_number(alice: Peer, limit: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        alice.messaging.queue("bob").list(limit)  # type: ignore[arg-type]


def test_an_ident_is_checked(alice: Peer) -> None:
    for call in (alice.messaging.queue, alice.messaging.drop_queue):
        with pytest.raises(ValueError, match="51"):
            call("x" * 51)


# -- cancelling


def test_a_cancelled_message_is_reported_once_and_not_sent(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    told = fates(alice)
    alice.send("bob", b"1")
    uuid = alice.send("bob", b"2")
    alice.send("bob", b"3")
    queue = alice.messaging.queue("bob")
    assert queue.cancel(uuid)
    assert not queue.cancel(uuid)
    network.run_until_idle()
    assert told == [(b"2", DropReason.PURGED)]
    alice.connect(bob)
    assert bob.heard == [b"1", b"3"]


def test_a_message_in_flight_is_not_cancelled(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    uuid = alice.send("bob", b"x")
    network.run_until_idle()
    assert not alice.messaging.queue("bob").cancel(uuid)
    assert not alice.dropped


def test_a_large_message_is_cancelled_while_it_is_on_its_way(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    at_alice, _ = alice.connect(bob)
    network.stall(at_alice)
    uuid = alice.send("bob", bytes(LARGE))
    network.run_until_idle()
    assert alice.messaging.queue("bob").cancel(uuid)
    network.unstall(at_alice)
    alice.send("bob", b"next")
    network.run_until_idle()
    assert bob.heard == [b"next"]
    assert alice.dropped == [("bob", uuid)]


def test_a_cancelled_message_lets_those_behind_it_go(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    """One that is set aside holds up the others when there is no room for more of them."""
    bob = peer("bob", max_packet_size=100)
    alice.connect(bob)
    with mock.patch("snakemq.messaging._outgoing._queue._aside.MAX_MESSAGES_ASIDE", 1):
        uuid = alice.send("bob", bytes(200))
        alice.send("bob", bytes(200))
        alice.send("bob", b"small")
        network.run_until_idle()
        assert bob.heard == []
        assert alice.messaging.queue("bob").cancel(uuid)
        network.run_until_idle()
    assert bob.heard == [b"small"]


def test_a_message_in_the_storage_only_is_cancelled(
    network: MemoryNetwork, stored: Peer, bob: Peer
) -> None:
    told = fates(stored)
    queue = stored.messaging.queue("bob")
    (second,) = [row.uuid for row in queue.list()][1:2]
    assert queue.cancel(second)
    assert not queue.cancel(second)
    stored.connect(bob)
    network.advance(1)
    assert bob.heard == [b"1", b"3"]
    assert told == [(b"2", DropReason.PURGED)]


def test_a_callback_can_cancel_what_is_in_the_storage(
    network: MemoryNetwork, stored: Peer, bob: Peer
) -> None:
    uuids = [row.uuid for row in stored.messaging.queue("bob").list()]
    answers: list[bool] = []
    stored.link.call_later(
        0, lambda: answers.append(stored.messaging.queue("bob").cancel(uuids[2]))
    )
    network.advance(0)
    assert answers == [True]
    stored.connect(bob)
    network.advance(1)
    assert bob.heard == [b"1", b"2"]


def test_a_cancelled_message_is_gone_after_a_restart(network: MemoryNetwork, stored: Peer) -> None:
    queue = stored.messaging.queue("bob")
    queue.cancel(queue.list()[0].uuid)
    network.advance(1)
    storage = stored.messaging.queues_storage
    assert storage is not None
    assert [message.data for message in storage.get_items("bob")] == [b"2", b"3"]


def test_a_message_that_is_sent_during_the_search_is_not_cancelled(
    network: MemoryNetwork, stored: Peer, bob: Peer
) -> None:
    """Between the page that shows a message and its removal, the message may have been sent."""
    queue = stored.messaging.queue("bob")
    uuid = queue.list()[0].uuid
    find = stored.messaging._wings.outgoing.purging._find

    def find_and_connect(*args: object) -> object:
        found = find(*args)  # type: ignore[arg-type]
        stored.connect(bob)
        return found

    with mock.patch.object(stored.messaging._wings.outgoing.purging, "_find", find_and_connect):
        assert not queue.cancel(uuid)
    assert bob.heard == [b"1", b"2", b"3"]
    assert not stored.dropped


def test_a_message_that_expired_during_the_search_is_reported_once(
    network: MemoryNetwork, peer: MakePeer
) -> None:
    message = Message(b"x", 2, FLAG_PERSISTENT)
    alice = peer("alice", pageable(network, message))
    told = fates(alice)
    purging = alice.messaging._wings.outgoing.purging
    find = purging._find

    def find_and_wait(*args: object) -> object:
        found = find(*args)  # type: ignore[arg-type]
        network.advance(30)
        return found

    with mock.patch.object(purging, "_find", find_and_wait):
        assert not alice.messaging.queue("bob").cancel(message.uuid)
    network.advance(1)
    assert told == [(b"x", DropReason.EXPIRED)]


def test_a_uuid_is_bytes(alice: Peer) -> None:
    with pytest.raises(TypeError, match="bytes"):
        alice.messaging.queue("bob").cancel("x")  # type: ignore[arg-type]


# -- dropping a queue


def test_a_dropped_queue_is_reported_and_empty(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    told = fates(alice)
    for data in (b"1", b"2"):
        alice.send("bob", data)
    alice.send("carol", b"3")
    assert alice.messaging.drop_queue("bob") == Purged(dropped=2, in_flight=0)
    network.run_until_idle()
    assert told == [(b"1", DropReason.PURGED), (b"2", DropReason.PURGED)]
    assert set(alice.messaging.stats().peers) == {"bob", "carol"}
    assert alice.messaging.stats().peers["bob"].queued == 0
    assert alice.messaging._wings.outgoing.outbox.queue_of("bob") is None
    alice.send("bob", b"4")
    alice.connect(bob)
    assert bob.heard == [b"4"]


def test_what_is_in_flight_is_counted_and_stays(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True, window_messages=1)
    alice.connect(bob)
    for data in (b"1", b"2", b"3"):
        alice.send("bob", data)
    network.run_until_idle()
    assert alice.messaging.drop_queue("bob") == Purged(dropped=2, in_flight=1)
    bob.messaging.ack(bob.received[0][2])
    network.run_until_idle()
    assert bob.heard == [b"1"]
    assert alice.messaging.stats().peers["bob"].delivered == 1


def test_what_is_in_the_storage_is_dropped_page_by_page(
    network: MemoryNetwork, stored: Peer, bob: Peer
) -> None:
    told = fates(stored)
    stored.send("bob", b"transient")
    with mock.patch("snakemq.messaging._outgoing._purging.PAGE_MESSAGES", 2):
        assert stored.messaging.drop_queue("bob") == Purged(4, 0)
    stored.send("bob", b"later", flags=FLAG_PERSISTENT)
    network.advance(1)
    assert sorted(data for data, _ in told) == [b"1", b"2", b"3", b"transient"]
    stored.connect(bob)
    network.advance(1)
    assert bob.heard == [b"later"]


def test_what_is_sent_while_a_queue_is_dropped_stays(
    network: MemoryNetwork, peer: MakePeer, bob: Peer
) -> None:
    with (
        mock.patch.object(_queue, "MAX_MESSAGES_IN_MEMORY", 1),
        mock.patch("snakemq.messaging._outgoing._purging.PAGE_MESSAGES", 1),
    ):
        alice = peer("alice", pageable(network))
        for data in (b"1", b"2", b"3"):
            alice.send("bob", data, flags=FLAG_PERSISTENT)
        network.run_until_idle()
        purging = alice.messaging._wings.outgoing.purging
        read = purging.read
        sent: list[bytes] = []

        def send_and_read(*args: object) -> object:
            if not sent:
                sent.append(alice.send("bob", b"new", flags=FLAG_PERSISTENT))
                network.run_until_idle()
            return read(*args)  # type: ignore[arg-type]

        with mock.patch.object(purging, "read", send_and_read):
            assert alice.messaging.drop_queue("bob") == Purged(3, 0)
        network.advance(1)
        alice.connect(bob)
        network.advance(1)
        assert bob.heard == [b"new"]
        assert len(alice.dropped) == 3


def test_the_rest_is_dropped_after_the_storage_has_failed(
    network: MemoryNetwork, stored: Peer
) -> None:
    storage = stored.messaging.queues_storage
    assert storage is not None
    stored.send("bob", b"transient")
    with (
        mock.patch.object(storage, "get_page", side_effect=StorageError("no", temporary=True)),
        pytest.raises(StorageError),
    ):
        stored.messaging.drop_queue("bob")
    assert stored.messaging.drop_queue("bob") == Purged(3, 0)
    network.advance(1)
    assert len(stored.dropped) == 4
    assert not storage.get_queues()


def test_a_callback_can_drop_the_queue_of_its_message(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", window_messages=1)
    alice.connect(bob)
    drops: list[Purged] = []
    alice.messaging.on_message_delivered.add(
        lambda _conn, ident, _uuid: drops.append(alice.messaging.drop_queue(ident))
    )
    for data in (b"1", b"2", b"3"):
        alice.send("bob", data)
    network.run_until_idle()
    assert bob.heard[0] == b"1"
    assert len(bob.heard) + len(alice.dropped) == 3
    assert sum(purged.dropped for purged in drops) == len(alice.dropped)


def test_a_message_that_nobody_will_take_is_dropped_as_ever(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    """With ttl 0, and sent to a connection that has just broken."""
    told = fates(alice)
    alice.connect(bob)
    alice.send("bob", b"x", ttl=0)
    queue = alice.messaging._wings.outgoing.outbox.queue_of("bob")
    assert queue is not None
    queue.lane, lane = None, queue.lane
    assert alice.messaging.drop_queue("bob") == Purged(0, 0)
    queue.lane = lane
    network.run_until_idle()
    assert told == [(b"x", DropReason.ABSENT)]


def test_queues_of_peers_that_are_away_for_long_are_purged(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer
) -> None:
    alice.connect(peer("carol", manual_ack=True))
    for ident in ("bob", "carol", "nobody"):
        alice.send(ident, b"x")
    network.advance(100)
    at_alice, _ = alice.connect(bob)
    network.run_until_idle()
    network.disconnect(at_alice)
    network.advance(10)
    alice.send("bob", b"y")
    network.run_until_idle()
    assert set(alice.messaging.purge(50)) == {"nobody"}
    assert set(alice.messaging.purge(5)) == {"bob"}


# -- threads


def test_a_thread_waits_until_the_loop_has_done_it() -> None:
    link = Link()
    messaging = Messaging("alice", "", Packeter(link))
    uuids = [messaging.send_message("bob", Message(b"x", ttl=None)) for _ in range(3)]
    dropped = threading.Event()
    messaging.on_message_drop.add(lambda *_: dropped.set())
    loop = threading.Thread(target=link.loop, daemon=True)
    loop.start()
    try:
        assert messaging.queue("bob").cancel(uuids[0])
        assert dropped.wait(PATIENCE)
        assert [row.uuid for row in messaging.queue("bob").list()] == uuids[1:]
        assert messaging.drop_queue("bob") == Purged(2, 0)
    finally:
        link.cleanup()
        loop.join(PATIENCE)


def test_a_thread_gives_up_when_the_loop_does_not_come_to_it(
    network: MemoryNetwork, alice: Peer
) -> None:
    uuid = alice.send("bob", b"x")
    with (
        mock.patch.object(
            alice.messaging._wings.outgoing.calls, "_run_if_idle", return_value=False
        ),
        pytest.raises(LoopError, match="has not come to it"),
    ):
        alice.messaging.queue("bob").cancel(uuid, timeout=0)
    network.run_until_idle()
    assert states(alice) == [(b"x", "waiting")]


def test_a_call_is_made_in_place_of_a_loop_that_has_ended(network: MemoryNetwork) -> None:
    link = network.link("x")
    errands = Errands(link)
    calls = LoopCalls(link, errands)
    run_if_idle: Callable[[Callable[[], object]], bool] = link.run_if_idle
    answers = iter([False, True])

    def later(func: Callable[[], object]) -> bool:
        return next(answers) and run_if_idle(func)

    with (
        mock.patch.object(calls, "_run_if_idle", later),
        mock.patch("snakemq.messaging._loop_calls.IDLE_LOOK", 0.001),
    ):
        assert calls.make(lambda: 5, PATIENCE) == 5
    errands.run()  # not once more


def test_what_a_call_raises_comes_to_the_thread_that_asked(network: MemoryNetwork) -> None:
    link = network.link("x")

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        LoopCalls(link, Errands(link)).make(fail, PATIENCE)
