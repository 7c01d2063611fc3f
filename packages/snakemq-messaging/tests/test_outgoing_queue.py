"""The queue of a peer, against a list that does the same without any cleverness."""

from __future__ import annotations

import gc
import sys

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from snakemq.message import Message
from snakemq.message._stack import claim
from snakemq.messaging._outgoing._lane import OutgoingLane
from snakemq.messaging._outgoing._queue._expiry import deadline_of
from snakemq.messaging._outgoing._queue._queue import OutgoingQueue
from snakemq.messaging._wire._conversation import Conversation

EPOCH = 1000.0


def entry(ttl: float | None, now: float = EPOCH, data: bytes = b"") -> Message:
    message = claim(Message(data, ttl), "bob")
    message.queued_at = now
    message.position = None
    return message


def push(queue: OutgoingQueue, message: Message) -> None:
    queue.lane = OutgoingLane(Conversation("", 0.0))
    queue.incoming.append(message)
    queue.absorb()


def take_all(queue: OutgoingQueue, now: float) -> list[Message]:
    return queue.take(now, 1000, 1_000_000).messages


def test_first_in_first_out() -> None:
    queue = OutgoingQueue("bob")
    entries = [entry(None) for _ in range(5)]
    for each in entries:
        push(queue, each)
    assert take_all(queue, EPOCH) == entries
    assert list(queue.in_flight) == entries


def test_the_queue_lets_go_of_messages_that_a_fast_peer_has_processed() -> None:
    queue = OutgoingQueue("bob")
    mortal = entry(5)
    before = sys.getrefcount(mortal)
    push(queue, mortal)
    assert take_all(queue, EPOCH) == [mortal]
    assert queue.landed(1) == [mortal]
    assert sys.getrefcount(mortal) == before


def test_message_expires_at_its_time_and_not_before() -> None:
    queue = OutgoingQueue("bob")
    mortal = entry(5)
    push(queue, mortal)
    assert queue.next_deadline() == EPOCH + 5
    assert queue.expire(EPOCH + 4.999) == []
    assert queue.expire(EPOCH + 5) == [mortal]
    assert not queue


def test_message_is_not_taken_at_its_time() -> None:
    queue = OutgoingQueue("bob")
    mortal, lasting = entry(5), entry(None)
    push(queue, mortal)
    push(queue, lasting)
    taken = queue.take(EPOCH + 5, 2, 1000)
    assert taken.messages == [lasting]
    assert taken.expired == [mortal]


def test_messages_expire_in_the_order_of_their_time() -> None:
    queue = OutgoingQueue("bob")
    late, early = entry(9), entry(3)
    push(queue, late)
    push(queue, early)
    assert queue.expire(EPOCH + 20) == [early, late]


def test_message_in_flight_does_not_expire() -> None:
    queue = OutgoingQueue("bob")
    push(queue, entry(5))
    take_all(queue, EPOCH)
    assert queue.next_deadline() is None
    assert queue.expire(EPOCH + 100) == []


def test_memory_of_expired_messages_is_given_back() -> None:
    def count() -> int:
        return sum(isinstance(each, Message) for each in gc.get_objects())

    before = count()
    queue = OutgoingQueue("bob")
    push(queue, entry(None))  # holds up those behind it
    for _ in range(50):
        for _ in range(1000):
            push(queue, entry(5))
        assert len(queue.expire(EPOCH + 5)) == 1000
    assert count() - before < 1000


def test_message_with_nothing_before_it_need_not_wait() -> None:
    queue = OutgoingQueue("bob")
    first, over, second = entry(None), entry(5, EPOCH - 5), entry(None)
    queue.incoming.extend([first, over, second])
    taken = queue.take(EPOCH, 2, 1000)
    assert taken.messages == [first]
    assert taken.expired == [over]
    assert queue.take(EPOCH, 2, 1000).messages == [second]
    assert not queue.incoming


def test_message_with_ttl_0_cannot_wait_once_the_connection_is_gone() -> None:
    queue = OutgoingQueue("bob")
    homeless, patient = entry(0), entry(5)
    queue.incoming.extend([homeless, patient])
    assert queue.absorb() == [homeless]
    assert list(queue) == [patient]


def test_message_that_expires_aside_is_dropped_with_the_connection() -> None:
    queue = OutgoingQueue("bob")
    mortal = entry(5, data=b"long")
    push(queue, mortal)
    assert queue.take(EPOCH, 1, 1000, largest=3).messages == []
    assert queue.disconnected(EPOCH + 5) == [mortal]
    assert not queue


ttls = st.none() | st.sampled_from([0, 0.5, 1, 2, 2, 3, 7.25])


class QueueMachine(RuleBasedStateMachine):
    """``in_flight`` and ``waiting`` are plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = OutgoingQueue("bob")
        self.now = EPOCH
        self.in_flight: list[Message] = []
        self.aside: list[Message] = []
        self.waiting: list[Message] = []
        self.told: set[bytes] = set()

    def is_over(self, each: Message) -> bool:
        return bool(each.ttl) and each.queued_at + (each.ttl or 0) <= self.now

    @rule(ttl=ttls, size=st.integers(0, 3))
    def push(self, ttl: float | None, size: int) -> None:
        each = entry(ttl, self.now, b"x" * size)
        push(self.queue, each)
        self.waiting.append(each)

    @rule(seconds=st.sampled_from([0.25, 0.5, 1, 5]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(max_messages=st.integers(0, 3), max_bytes=st.integers(0, 30), largest=st.integers(-1, 3))
    def take(self, max_messages: int, max_bytes: int, largest: int) -> None:
        expected_expired: list[Message] = []
        expected_too_large: list[Message] = []
        expected: list[Message] = []
        size = 0
        while self.waiting and len(expected) < max_messages and size < max_bytes:
            first = self.waiting.pop(0)
            if self.is_over(first):
                expected_expired.append(first)
            elif len(first.data) > largest:
                if first.uuid not in self.told:
                    expected_too_large.append(first)
                self.told.add(first.uuid)
                if first.ttl != 0:
                    self.aside.append(first)
            else:
                expected.append(first)
                size += len(first.data)
        self.in_flight += expected
        taking = self.queue.take(self.now, max_messages, max_bytes, largest)
        assert taking.messages == expected
        assert taking.expired == expected_expired
        assert taking.too_large == expected_too_large

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def landed(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(0, len(self.in_flight)))
        assert self.queue.landed(count) == self.in_flight[:count]
        del self.in_flight[:count]

    @precondition(lambda self: self.aside or self.waiting)
    @rule()
    def drop_oldest(self) -> None:
        oldest = (self.aside or self.waiting).pop(0)
        assert self.queue.drop_oldest() is oldest

    @rule()
    def disconnected(self) -> None:
        everything = self.in_flight + self.aside + self.waiting
        dropped = [e for e in everything if e.ttl == 0 or self.is_over(e)]
        gone = self.queue.disconnected(self.now)
        assert sorted(gone, key=id) == sorted(dropped, key=id)
        self.in_flight = []
        self.aside = []
        self.waiting = [e for e in everything if e not in dropped]

    @rule()
    def expire(self) -> None:
        over = [e for e in self.aside + self.waiting if self.is_over(e)]
        expired = self.queue.expire(self.now)
        # Those of one deadline come in the order in which they became waiting, which after a
        # disconnection is not that of the queue.
        assert sorted(expired, key=id) == sorted(over, key=id)
        deadlines = [deadline_of(e) for e in expired]
        assert deadlines == sorted(d for d in deadlines if d is not None)
        self.aside = [e for e in self.aside if e not in over]
        self.waiting = [e for e in self.waiting if e not in over]

    @rule()
    def next_deadline(self) -> None:
        # Not asked after each step: it files what is new, which must not be needed.
        deadlines = [e.queued_at + e.ttl for e in self.aside + self.waiting if e.ttl]
        assert self.queue.next_deadline() == min(deadlines, default=None)

    @invariant()
    def same_messages_in_the_same_order(self) -> None:
        assert list(self.queue) == self.in_flight + self.aside + self.waiting
        assert list(self.queue.in_flight) == self.in_flight
        assert len(self.queue) == len(self.aside) + len(self.waiting)
        assert bool(self.queue) == bool(self.in_flight or self.aside or self.waiting)
        assert self.queue.aside.count == len(self.aside)
        assert self.queue.aside.bytes == sum(len(e.data) for e in self.aside)
        assert self.queue.waiting.bytes == sum(len(e.data) for e in self.waiting)
        assert self.queue.in_flight_bytes == sum(len(e.data) for e in self.in_flight)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
