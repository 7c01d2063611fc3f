"""Where speed needs a rule twice, the copy says what the rule says."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from memory_peers import Peer, RawPeer
from memory_peers import message as message_frame

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message, new_uuid
from snakemq.message._stack import claim, size_of
from snakemq.messaging._events import Events
from snakemq.messaging._incoming._lane import Tally
from snakemq.messaging._outgoing._express import ExpressLane
from snakemq.messaging._outgoing._lane import OutgoingLane
from snakemq.messaging._outgoing._queue._expiry import deadline_of, is_expired
from snakemq.messaging._outgoing._queue._queue import OutgoingQueue
from snakemq.messaging._outgoing._queue._row import Row
from snakemq.messaging._outgoing._queue._stages import WAITING
from snakemq.messaging._outgoing._sender import Sender
from snakemq.messaging._registry import Registry
from snakemq.messaging._stats import Statistics
from snakemq.messaging._wire import _frames as frames
from snakemq.messaging._wire._conversation import Conversation
from snakemq.messaging._wire._window import window_left
from snakemq.packeter import Packeter

NOW = 1000.0

ttls = st.none() | st.sampled_from([0, 0.1, 0.3, 1, 7]) | st.floats(0, 100)
waits = st.sampled_from([0, 0.1, 0.3, 1, 7]) | st.floats(0, 100)


def queued(ttl: float | None, waited: float, position: int | None) -> Message:
    message = claim(Message(b"", ttl), "bob")
    message.queued_at = NOW - waited
    message.position = position
    return message


@given(ttl=ttls, waited=waits)
def test_the_queue_takes_what_has_not_expired(ttl: float | None, waited: float) -> None:
    queue = OutgoingQueue("bob")
    message = queued(ttl, waited, None)
    queue.incoming.append(message)
    assert (message in queue.take(NOW, 1, 1).expired) == is_expired(message, NOW)


@given(ttl=ttls, waited=waits, is_stored=st.booleans())
def test_the_queue_takes_what_has_waited_and_not_expired(
    ttl: float | None, waited: float, is_stored: bool
) -> None:
    queue = OutgoingQueue("bob")
    queue.has_stored = is_stored
    queue.lane = OutgoingLane(Conversation("conn", NOW))  # or a message with ttl 0 could not wait
    message = queued(ttl, waited, 1 if is_stored else None)
    queue.incoming.append(message)
    queue.absorb()
    assert (message in queue.take(NOW, 1, 1).expired) == is_expired(message, NOW)


class Recording(Packeter):
    """Keeps what it is given to send, and says that the system has not taken it over."""

    def __init__(self) -> None:
        super().__init__(MemoryNetwork(at_once=True).link("alice"))
        self.headers: list[bytes] = []

    def send_framed(
        self, conn_id: str, parts: Sequence[bytes | memoryview], sizes: Sequence[int]
    ) -> int:
        self.headers += map(bytes, parts[::2])
        return 1

    def send_framed_at_once(self, conn_id: str, packet: bytes) -> tuple[int, bool]:
        self.headers.append(packet)
        return 1, False

    def get_unsent_size(self, conn_id: str) -> int:
        return 0

    def flush(self, conn_id: str) -> None:
        pass


def sender_to(packeter: Packeter, messages: int, bytes_: int) -> tuple[Sender, OutgoingQueue]:
    """A sender, and the queue of a connected peer with a window of that size."""
    registry, events = Registry(), Events(logging.getLogger())
    statistics = Statistics(lambda ident: True)
    sender = Sender(packeter, None, None, None, registry, statistics, events, owed_acks=tuple)
    conversation = Conversation("conn", 0.0)
    conversation.features = frames.Features(frames.FEATURE_ACKS, 0, messages, bytes_, 1 << 20)
    conversation.acks = True
    queue = sender.expected(conversation, "bob")
    sender.admitted(queue)
    return sender, queue


@given(size=st.integers(0, 9), headers=st.none() | st.just({}) | st.just({"a": "b"}))
def test_a_claimed_message_counts_by_its_size(size: int, headers: dict[str, str] | None) -> None:
    message = claim(Message(bytes(size), headers=headers), "bob")
    copy = claim(message, "carol")
    assert message.queued_size == copy.queued_size == size_of(message) == size + 7 * bool(headers)


def seconds_in(header: bytes) -> int:
    seconds: int = frames.unpack_message_header(header, frames.PACKET_SIZE_LENGTH)[2]
    return seconds


@given(ttl=ttls, waited=waits, is_stored=st.booleans())
def test_the_queue_knows_when_a_waiting_message_expires(
    ttl: float | None, waited: float, is_stored: bool
) -> None:
    queue = OutgoingQueue("bob")
    queue.lane = OutgoingLane(Conversation("conn", NOW))
    message = claim(Message(b"", ttl), "bob")
    message.queued_at, message.position = NOW - waited, 1 if is_stored else None
    queue.append(message)
    queue.absorb()
    assert queue.next_deadline() == deadline_of(message)


@given(ttl=st.floats(0, 100), waited=waits)
def test_the_wire_says_how_many_seconds_are_left(ttl: float, waited: float) -> None:
    packeter = Recording()
    sender, queue = sender_to(packeter, 10, 1000)
    now = packeter.link.time()
    for _ in range(2):  # a single one would take the express lane
        message = claim(Message(b"", ttl), "bob")
        message.queued_at, message.position = now - waited, None
        queue.incoming.append(message)
    expired = is_expired(message, now)
    sender.pump(queue)
    expected = [] if expired else 2 * [frames.ttl_left(ttl, now - message.queued_at, True)]
    assert [seconds_in(header) for header in packeter.headers] == expected


@given(
    ttl=ttls,
    waited=waits,
    window=st.integers(1, 3),
    window_bytes=st.integers(1, 4),
    sizes=st.lists(st.integers(0, 3), max_size=3),
)
def test_a_single_message_goes_if_it_has_not_expired_and_the_window_has_room(
    ttl: float | None, waited: float, window: int, window_bytes: int, sizes: list[int]
) -> None:
    packeter = Recording()
    sender, queue = sender_to(packeter, window, window_bytes)
    for size in sizes:
        queue.in_flight.append(claim(Message(bytes(size)), "bob"))
        queue.in_flight_bytes += size
    now = packeter.link.time()
    message = claim(Message(b"", ttl), "bob")
    message.queued_at, message.position = now - waited, None
    express_lane = ExpressLane(packeter, sender.reports)
    queue.incoming.append(message)
    assert queue.lane is not None
    express_lane.serve(queue.lane, queue)
    left = window_left(window, window_bytes, len(sizes), sum(sizes))
    assert bool(packeter.headers) == (min(left) > 0 and not is_expired(message, now))


@given(window=st.integers(1, 5), window_bytes=st.integers(1, 30), sizes=st.lists(st.integers(0, 9)))
def test_receipts_tell_what_is_left_of_the_window(
    window: int, window_bytes: int, sizes: list[int]
) -> None:
    tally = Tally()
    for size in sizes:
        tally.frame_processed(size)
    left = tally.window_left(window, window_bytes)
    assert left == window_left(window, window_bytes, len(sizes), sum(sizes))


@given(sizes=st.lists(st.integers(0, 9)))
def test_a_row_counts_a_new_message_like_one_that_is_put_in_and_enters(sizes: list[int]) -> None:
    by_copy, by_rule = Row(), Row()
    for size in sizes:
        message = claim(Message(bytes(size)), "bob")
        twin = claim(Message(bytes(size)), "bob")
        by_copy.add(message)
        by_rule.append(twin)
        by_rule.enter(twin, WAITING)
        assert message.stage == twin.stage
    assert (by_copy.count, by_copy.bytes) == (by_rule.count, by_rule.bytes)
    assert len(by_copy.messages) == len(by_rule.messages)


@given(sizes=st.lists(st.integers(0, 9), max_size=5), ttl=st.none() | st.floats(1, 100))
def test_the_express_lane_keeps_the_books_of_a_send(sizes: list[int], ttl: float | None) -> None:
    books = []
    for is_express in (True, False):
        packeter = Recording()
        sender, queue = sender_to(packeter, 10, 1000)
        lane = queue.lane
        assert lane is not None
        for size in sizes:
            message = claim(Message(bytes(size), ttl), "bob")
            message.queued_at, message.position = NOW, None
            if is_express:
                assert sender._express_lane._send(lane, queue, message, NOW)
            else:
                queue.launch(message, 10, 1000)
                sender._send(lane, queue, [message], NOW)
        seconds = [seconds_in(header) for header in packeter.headers]
        counters = lane.counters
        sent = counters.sent, counters.sent_bytes, len(queue.in_flight), queue.in_flight_bytes
        books.append((sent, lane.unsent, lane.sent, lane.round_trip_probe, seconds))
    assert books[0] == books[1]


@given(
    ttl=st.none() | st.sampled_from([0, 1]),
    is_connected=st.booleans(),
    is_forgotten=st.booleans(),
    is_announced=st.booleans(),
)
def test_the_outbox_accepts_a_message_like_one_of_many(
    ttl: float | None, is_connected: bool, is_forgotten: bool, is_announced: bool
) -> None:
    found = []
    for is_copy in (True, False):
        packeter = Recording()
        sender, queue = sender_to(packeter, 10, 1000)
        outbox, queues = sender.outbox, sender._queues
        if is_connected:
            assert queue.lane is not None
            outbox._registry.enter("bob", queue.lane.conversation)
        else:
            queue.lane = None
            if is_forgotten:  # while a thread has it in its hands
                queues.forget(queue)
        queues.get("bob").is_announced = is_announced
        message = claim(Message(b"", ttl), "bob")
        message.queued_at, message.position = NOW, None
        with mock.patch.object(packeter.link, "wakeup_poll") as wakeup:
            if is_copy:
                outbox.accept("bob", message, queue)
            else:
                outbox.put("bob", [message], False)
        present = queues.get("bob")
        found.append(
            (
                list(present.incoming) == [message],
                [announced is present for announced in outbox.announced],
                present.is_announced,
                [(ident, kept is message, is_awaited) for ident, kept, is_awaited in outbox.absent],
                wakeup.call_count,
            )
        )
    assert found[0] == found[1]


@given(sizes=st.lists(st.integers(0, 9)))
def test_a_batch_counts_what_is_processed_as_receipts_do(sizes: list[int]) -> None:
    network = MemoryNetwork()
    alice, raw = Peer(network, "alice"), RawPeer(network)
    conn_id = raw.join(alice, "raw")
    inbox = alice.messaging._wings.peers._connections[conn_id].inbox
    assert inbox is not None
    assert inbox.lane is not None
    packets = [message_frame(bytes(size), new_uuid()) for size in sizes]
    alice.messaging._wings.incoming.receive(inbox, list(packets), 0)
    expected = Tally()
    for size in sizes:
        expected.frame_processed(size)
    tally = inbox.lane.tally
    assert (tally.processed, tally.unacked_bytes) == (
        expected.processed,
        expected.unacked_bytes,
    )
    assert not tally.behind_gap


@given(
    now=st.floats(0, 10),
    notice_due=st.floats(0, 10),
    last_ping=st.none() | st.floats(0, 10),
    is_contested=st.booleans(),
)
def test_packets_are_a_sign_of_life_as_parts_of_packets_are(
    now: float, notice_due: float, last_ping: float | None, is_contested: bool
) -> None:
    found = []
    for is_copy in (True, False):
        network = MemoryNetwork()
        alice = Peer(network, "alice")
        connections = alice.messaging._wings.peers
        connection = connections._connections[RawPeer(network).connect(alice)]
        connection.notice_due, connection.last_ping = notice_due, last_ping
        connections._contests = {"bob": mock.Mock()} if is_contested else {}
        with (
            mock.patch.object(connections, "_time", return_value=now),
            mock.patch.object(connections.contests, "heard") as heard,
            mock.patch.object(connections._notices, "tell_that_it_arrives") as tell,
        ):
            if is_copy:
                connections._on_packets_recv(connection.conversation.conn_id, [])
            else:
                connections._heard(connection)
            times = connection.last_recv, connection.last_ping
            told = [
                [args == mock.call(connection) for args in mocked.call_args_list]
                for mocked in (heard, tell)
            ]
            found.append((times, told))
    assert found[0] == found[1]


def test_messages_draw_their_uuids_from_new_uuid() -> None:
    for _ in range(3):
        before, message, after = new_uuid(), Message(b""), new_uuid()
        numbers = [int.from_bytes(uuid, "big") for uuid in (before, message.uuid, after)]
        assert numbers == list(range(numbers[0], numbers[0] + 3))
