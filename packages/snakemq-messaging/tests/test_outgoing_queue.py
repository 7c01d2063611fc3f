"""The queue of a peer, against a list that does the same without any cleverness."""

from __future__ import annotations

import gc

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from snakemq.message import Message
from snakemq.queues import OutgoingQueue, QueuedMessage

EPOCH = 1000.0


def entry(ttl: float | None, now: float = EPOCH, data: bytes = b"") -> QueuedMessage:
    return QueuedMessage(Message(data, ttl), now, stored=False)


def take_all(queue: OutgoingQueue, now: float) -> list[QueuedMessage]:
    return queue.take(now, 1000, 1_000_000, [])


def test_first_in_first_out() -> None:
    queue = OutgoingQueue("bob")
    entries = [entry(None) for _ in range(5)]
    for each in entries:
        queue.push(each)
    assert take_all(queue, EPOCH) == entries
    assert list(queue.in_flight) == entries


def test_message_expires_at_its_time_and_not_before() -> None:
    queue = OutgoingQueue("bob")
    mortal = entry(5)
    queue.push(mortal)
    assert queue.next_deadline() == EPOCH + 5
    assert queue.expire(EPOCH + 4.999) == []
    assert queue.expire(EPOCH + 5) == [mortal]
    assert not queue


def test_message_is_not_taken_at_its_time() -> None:
    queue = OutgoingQueue("bob")
    mortal, lasting = entry(5), entry(None)
    queue.push(mortal)
    queue.push(lasting)
    expired: list[QueuedMessage] = []
    assert queue.take(EPOCH + 5, 2, 1000, expired) == [lasting]
    assert expired == [mortal]


def test_messages_expire_in_the_order_of_their_time() -> None:
    queue = OutgoingQueue("bob")
    late, early = entry(9), entry(3)
    queue.push(late)
    queue.push(early)
    assert queue.expire(EPOCH + 20) == [early, late]


def test_message_in_flight_does_not_expire() -> None:
    queue = OutgoingQueue("bob")
    queue.push(entry(5))
    take_all(queue, EPOCH)
    assert queue.next_deadline() is None
    assert queue.expire(EPOCH + 100) == []


def test_memory_of_expired_messages_is_given_back() -> None:
    queue = OutgoingQueue("bob")
    queue.push(entry(None))  # holds up those behind it
    for _ in range(50):
        for _ in range(1000):
            queue.push(entry(5))
        assert len(queue.expire(EPOCH + 5)) == 1000
    assert sum(isinstance(each, QueuedMessage) for each in gc.get_objects()) < 1000


def test_seconds_left_for_the_wire_are_whole() -> None:
    left = {waited: entry(600).whole_seconds_left(EPOCH + waited) for waited in (0, 0.9, 1, 599.5)}
    assert left == {0: 600, 0.9: 600, 1: 599, 599.5: 1}
    assert entry(600).whole_seconds_left(EPOCH + 10_000) == 0
    assert entry(None).whole_seconds_left(EPOCH + 10_000) is None


ttls = st.none() | st.sampled_from([0, 0.5, 1, 2, 2, 3, 7.25])


class QueueMachine(RuleBasedStateMachine):
    """``in_flight`` and ``waiting`` are plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = OutgoingQueue("bob")
        self.now = EPOCH
        self.in_flight: list[QueuedMessage] = []
        self.waiting: list[QueuedMessage] = []

    def is_over(self, each: QueuedMessage) -> bool:
        return bool(each.message.ttl) and each.queued_at + (each.message.ttl or 0) <= self.now

    @rule(ttl=ttls, size=st.integers(0, 3))
    def push(self, ttl: float | None, size: int) -> None:
        each = entry(ttl, self.now, b"x" * size)
        self.queue.push(each)
        self.waiting.append(each)

    @rule(seconds=st.sampled_from([0.25, 0.5, 1, 5]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(max_messages=st.integers(0, 3), max_bytes=st.integers(0, 30))
    def take(self, max_messages: int, max_bytes: int) -> None:
        expected_expired: list[QueuedMessage] = []
        expected: list[QueuedMessage] = []
        size = 0
        while self.waiting and len(expected) < max_messages and size < max_bytes:
            first = self.waiting.pop(0)
            if self.is_over(first):
                expected_expired.append(first)
            else:
                expected.append(first)
                size += len(first.message.data)
        self.in_flight += expected
        expired: list[QueuedMessage] = []
        assert self.queue.take(self.now, max_messages, max_bytes, expired) == expected
        assert expired == expected_expired

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def landed(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(0, len(self.in_flight)))
        assert self.queue.landed(count) == self.in_flight[:count]
        del self.in_flight[:count]

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        entries = data.draw(st.lists(st.sampled_from(self.in_flight), unique_by=id))
        self.queue.withdraw(entries)
        self.in_flight = [e for e in self.in_flight if e not in entries]

    @rule()
    def disconnected(self) -> None:
        everything = self.in_flight + self.waiting
        dropped = [e for e in everything if e.message.ttl == 0 or self.is_over(e)]
        assert self.queue.disconnected(self.now) == dropped
        self.in_flight = []
        self.waiting = [e for e in everything if e not in dropped]

    @rule()
    def expire(self) -> None:
        over = [e for e in self.waiting if self.is_over(e)]
        expired = self.queue.expire(self.now)
        # Those of one deadline come in the order in which they became waiting, which after a
        # disconnection is not that of the queue.
        assert sorted(expired, key=id) == sorted(over, key=id)
        deadlines = [e.deadline for e in expired]
        assert deadlines == sorted(d for d in deadlines if d is not None)
        self.waiting = [e for e in self.waiting if e not in over]

    @rule()
    def next_deadline(self) -> None:
        # Not asked after each step: it files what is new, which must not be needed.
        deadlines = [e.queued_at + e.message.ttl for e in self.waiting if e.message.ttl]
        assert self.queue.next_deadline() == min(deadlines, default=None)

    @invariant()
    def same_messages_in_the_same_order(self) -> None:
        assert list(self.queue) == self.in_flight + self.waiting
        assert list(self.queue.in_flight) == self.in_flight
        assert len(self.queue) == len(self.waiting)
        assert bool(self.queue) == bool(self.in_flight or self.waiting)
        assert self.queue.in_flight_bytes == sum(len(e.message.data) for e in self.in_flight)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
