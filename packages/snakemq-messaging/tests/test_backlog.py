"""A queue of which only the head is in memory: threads push, one reads pages, the loop goes on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from snakemq.link.testing import FakeClock
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.message._stack import claim
from snakemq.messaging._outgoing._lane import OutgoingLane
from snakemq.messaging._outgoing._queue import _queue
from snakemq.messaging._outgoing._queue._queue import OutgoingQueue
from snakemq.messaging._wire._conversation import Conversation
from snakemq.queues import MemoryQueuesStorage, StoredMessage

IN_MEMORY = 3
PAGE = 2


class BacklogMachine(RuleBasedStateMachine):
    """The steps of ``send_message`` in several threads, of the storage thread, and of the loop, in
    any order."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(_queue, "MAX_MESSAGES_IN_MEMORY", IN_MEMORY)
        self.clock = FakeClock()
        self.storage = MemoryQueuesStorage(clock=self.clock.time)
        self.queue = OutgoingQueue("bob")
        self.queue.lane = OutgoingLane(Conversation("", 0.0))
        self.half_sent: dict[int, Message] = {}
        """For each thread: what is in the storage, and not in the queue yet."""
        self.is_asked = False
        """Has the loop asked for a page that has not come?"""
        self.page: Sequence[StoredMessage] | None = None
        """The page that was read, and has not come yet."""
        self.expired: dict[bytes, Message] = {}
        """What a sweep has found, until the loop hears that it is deleted."""
        self.deleted: set[bytes] = set()
        """Those of them that are deleted from the storage."""
        self.dropped: set[bytes] = set()
        self.sent: dict[int, list[bytes]] = defaultdict(list)
        self.arrived: list[bytes] = []
        self.thread_of: dict[bytes, int] = {}

    def teardown(self) -> None:
        for thread in list(self.half_sent):
            self.append(thread)
        for _ in range(1000):
            self.a_page_is_read_at_once()
            self.loop_takes(10)
            landed = self.queue.landed(len(self.queue.in_flight))
            self.arrived += [message.uuid for message in landed]
            if not self.queue:
                break
        self.patch.undo()
        for thread, sent in self.sent.items():
            arrived = [uuid for uuid in self.arrived if self.thread_of[uuid] == thread]
            assert arrived == [uuid for uuid in sent if uuid not in self.dropped]

    @initialize(count=st.integers(0, 5))
    def an_earlier_process_has_left_messages(self, count: int) -> None:
        for _ in range(count):
            message = self.new(thread=-1, flags=FLAG_PERSISTENT)
            self.storage.push("bob", message)
        if count:
            self.queue.open_backlog(count, 0)

    def new(self, thread: int, flags: int = 0) -> Message:
        message = claim(Message(b"x", None, flags), "bob")
        message.queued_at = self.clock.time()
        message.position = None
        self.sent[thread].append(message.uuid)
        self.thread_of[message.uuid] = thread
        return message

    @rule(thread=st.integers(0, 2))
    def thread_pushes(self, thread: int) -> None:
        if thread in self.half_sent:
            return
        message = self.new(thread, FLAG_PERSISTENT)
        message.position = self.storage.push("bob", message)
        self.half_sent[thread] = message

    @precondition(lambda self: self.half_sent)
    @rule(data=st.data())
    def thread_appends(self, data: st.DataObject) -> None:
        self.append(data.draw(st.sampled_from(sorted(self.half_sent))))

    def append(self, thread: int) -> None:
        self.queue.append(self.half_sent.pop(thread))

    @rule(thread=st.integers(0, 2))
    def thread_sends_a_transient_message(self, thread: int) -> None:
        if thread not in self.half_sent:
            self.queue.append(self.new(thread))

    @rule()
    def loop_absorbs(self) -> None:
        self.queue.absorb()

    @rule()
    def loop_asks_for_a_page(self) -> None:
        if not self.is_asked and self.queue.wants_page():
            self.is_asked = True
            self.queue.backlog.ask()

    @precondition(lambda self: self.is_asked and self.page is None)
    @rule()
    def storage_reads_the_page(self) -> None:
        self.page = self.storage.get_page("bob", self.queue.backlog.cursor, PAGE)

    @precondition(lambda self: self.page is not None)
    @rule()
    def page_comes(self) -> None:
        page, self.page, self.is_asked = self.page, None, False
        assert page is not None
        self.queue.absorb()
        self.queue.add_page(page, self.clock.time(), self.expired)

    @rule()
    def a_page_is_read_at_once(self) -> None:
        self.loop_asks_for_a_page()
        if self.is_asked and self.page is None:
            self.storage_reads_the_page()
        if self.page is not None:
            self.page_comes()

    @precondition(lambda self: self.queue.backlog.is_open)
    @rule()
    def sweep_finds_an_expired_message(self) -> None:
        backlog = self.queue.backlog
        half_sent = {message.uuid for message in self.half_sent.values()}
        for stored in self.storage.get_page("bob", backlog.cursor, PAGE):
            message = stored.message
            if message.uuid not in self.expired and message.uuid not in half_sent:
                self.queue.absorb()
                backlog.lost([stored])
                self.expired[message.uuid] = message
                self.dropped.add(message.uuid)
                return

    @rule()
    def storage_deletes_what_has_expired(self) -> None:
        self.storage.delete("bob", self.expired.values())
        self.deleted |= self.expired.keys()

    @precondition(lambda self: self.page is None)  # it was read before, so it comes before
    @rule()
    def loop_hears_what_is_deleted(self) -> None:
        for uuid in self.deleted:
            del self.expired[uuid]
        self.deleted.clear()

    @rule(count=st.integers(1, 4))
    def loop_takes(self, count: int) -> None:
        if self.queue.has_stored:
            self.queue.absorb()
        self.queue.take(self.clock.time(), count, 1000)

    @precondition(lambda self: self.queue.in_flight)
    @rule(data=st.data())
    def messages_land(self, data: st.DataObject) -> None:
        landed = self.queue.landed(data.draw(st.integers(1, len(self.queue.in_flight))))
        self.arrived += [message.uuid for message in landed]
        self.storage.delete("bob", [m for m in landed if m.position is not None])

    @rule()
    def connection_breaks(self) -> None:
        self.queue.absorb()
        assert self.queue.disconnected(self.clock.time()) == []
        self.queue.lane = OutgoingLane(Conversation("", 0.0))

    @invariant()
    def memory_is_bounded(self) -> None:
        stored = [m for m in self.queue if m.position is not None]
        # late ones, of threads that were overtaken, and what was in flight
        assert len(stored) <= IN_MEMORY + PAGE + 3 + 40


@pytest.mark.parametrize("part", range(6))
def test_all_arrives_in_the_order_of_each_thread(part: int) -> None:
    """In parts, each with other examples: all 300 at once may take minutes on a busy machine."""
    machine = seed(part)(type("BacklogMachine", (BacklogMachine,), {}))
    run_state_machine_as_test(
        machine, settings=settings(max_examples=50, stateful_step_count=60, deadline=None)
    )


def test_message_that_was_overtaken_does_not_bring_a_page_back() -> None:
    """Found by the machine: the page behind it has been read, and its messages came twice."""
    machine = BacklogMachine()
    machine.an_earlier_process_has_left_messages(2)
    machine.thread_pushes(0)
    machine.a_page_is_read_at_once()
    machine.append(0)
    machine.thread_pushes(0)
    machine.thread_pushes(1)
    machine.append(1)
    machine.loop_takes(3)
    machine.a_page_is_read_at_once()
    machine.connection_breaks()
    machine.teardown()  # now the first thread appends what the second one has overtaken


def test_empty_page_says_nothing_of_what_came_while_it_was_read() -> None:
    machine = BacklogMachine()
    for thread in range(IN_MEMORY + 1):
        machine.thread_pushes(thread)
        machine.append(thread)
    machine.loop_takes(0)
    machine.sweep_finds_an_expired_message()
    machine.storage_deletes_what_has_expired()
    machine.loop_takes(10)
    machine.loop_asks_for_a_page()
    machine.storage_reads_the_page()
    machine.thread_pushes(0)
    machine.append(0)
    machine.page_comes()
    machine.teardown()
