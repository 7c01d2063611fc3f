"""Where speed needs a rule twice, the copy says what the rule says."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging._events import Events
from snakemq.messaging._incoming._lane import Receipts
from snakemq.messaging._outgoing._express import ExpressLane
from snakemq.messaging._outgoing._lane import OutgoingLane
from snakemq.messaging._outgoing._queue._expiry import deadline_of, is_expired
from snakemq.messaging._outgoing._queue._queue import OutgoingQueue
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
    message = Message(b"", ttl)
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

    def send_framed(self, conn_id: str, parts: Sequence[bytes], sizes: Sequence[int]) -> int:
        self.headers += parts[::2]
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
    sender = Sender(packeter, None, None, registry, Statistics(lambda ident: True), events)
    conversation = Conversation("conn", 0.0)
    conversation.features = frames.Features(frames.FEATURE_ACKS, 0, messages, bytes_, 1 << 20)
    conversation.acks = True
    queue = sender.expected(conversation, "bob")
    sender.admitted(queue)
    return sender, queue


def seconds_in(header: bytes) -> int:
    seconds: int = frames.unpack_message_header(header, frames.PACKET_SIZE_LENGTH)[2]
    return seconds


@given(ttl=ttls, waited=waits, is_stored=st.booleans())
def test_the_queue_knows_when_a_waiting_message_expires(
    ttl: float | None, waited: float, is_stored: bool
) -> None:
    queue = OutgoingQueue("bob")
    queue.lane = OutgoingLane(Conversation("conn", NOW))
    message = Message(b"", ttl)
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
        message = Message(b"", ttl)
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
        queue.in_flight.append(Message(bytes(size)))
        queue.in_flight_bytes += size
    now = packeter.link.time()
    message = Message(b"", ttl)
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
    receipts = Receipts()
    for size in sizes:
        receipts.frame_processed(size)
    left = receipts.window_left(window, window_bytes)
    assert left == window_left(window, window_bytes, len(sizes), sum(sizes))
