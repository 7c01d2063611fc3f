"""Real links, real threads: nobody waits forever and nothing is lost."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import pytest

from snakemq.link import Link
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage, QueuesStorageBase

PATIENCE = 30.0
"""Seconds after which a test has failed; it goes on as soon as it can."""


class Stack:
    """A stack whose loop runs in a thread of its own, as soon as it is started."""

    def __init__(self, ident: str, storage: QueuesStorageBase | None = None) -> None:
        self.link = Link()
        self.messaging = Messaging(ident, "", Packeter(self.link), storage)
        self.received: list[bytes] = []
        self.dropped: set[bytes] = set()
        self.callback_threads: set[int] = set()
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.link.loop, name=ident)
        self.messaging.on_message_recv.add(self._on_message_recv)
        self.messaging.on_message_drop.add(self._on_message_drop)
        self.messaging.on_connect.add(self._on_change)
        self.messaging.on_disconnect.add(self._on_change)

    def _on_change(self, conn_id: str, ident: str) -> None:
        with self.changed:
            self.changed.notify_all()

    def _on_message_recv(self, conn_id: str, ident: str, message: Message) -> None:
        self.callback_threads.add(threading.get_ident())
        with self.changed:
            self.received.append(message.data)
            self.changed.notify_all()

    def _on_message_drop(self, ident: str, uuid: bytes) -> None:
        with self.changed:
            self.dropped.add(uuid)
            self.changed.notify_all()

    def wait_until(self, predicate: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(predicate, PATIENCE), f"after {PATIENCE:g} s"

    def wait_for_received(self, count: int) -> None:
        self.wait_until(lambda: len(self.received) >= count)

    def start(self) -> Stack:
        self.thread.start()
        return self

    def end(self) -> None:
        self.link.cleanup()
        if self.thread.ident is not None:
            self.thread.join(PATIENCE)
            assert not self.thread.is_alive()


MakeStack = Callable[..., Stack]


@pytest.fixture
def stack() -> Iterator[MakeStack]:
    stacks: list[Stack] = []

    def make(ident: str, storage: QueuesStorageBase | None = None) -> Stack:
        stacks.append(Stack(ident, storage))
        return stacks[-1]

    yield make
    for each in stacks:
        each.end()


def connect(connector: Stack, listener: Stack) -> tuple[str, int]:
    """Both are not started yet."""
    address = listener.link.add_listener(("127.0.0.1", 0))
    assert isinstance(address, tuple)
    connector.link.add_connector(address, reconnect_interval=0.05)
    return address


def run_in_threads(count: int, func: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            func(number)
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "send_message does not return"
    assert errors == []


def by_thread(received: list[bytes]) -> dict[int, list[int]]:
    """Numbers of messages ``thread:number``, in the order in which they arrived."""
    numbers: dict[int, list[int]] = defaultdict(list)
    for data in received:
        thread, number = data.split(b":")
        numbers[int(thread)].append(int(number))
    return numbers


def test_many_threads_send_at_once(stack: MakeStack) -> None:
    alice, bob = stack("alice"), stack("bob")
    connect(alice, bob)
    alice.start()
    bob.start()

    def send(thread: int) -> None:
        for number in range(2000):
            alice.messaging.send_message("bob", Message(b"%d:%d" % (thread, number), ttl=60))

    run_in_threads(8, send)
    bob.wait_for_received(16_000)
    assert by_thread(bob.received) == {thread: [*range(2000)] for thread in range(8)}
    assert alice.dropped == set()
    assert bob.callback_threads == {bob.thread.ident}


class Watched(MemoryQueuesStorage):
    """Tells when messages were deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.deleted = threading.Condition()

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        super().delete(queue_name, items)
        with self.deleted:
            self.deleted.notify_all()

    def wait_until_empty(self) -> None:
        with self.deleted:
            assert self.deleted.wait_for(lambda: not self.get_queues(), PATIENCE)


def test_many_threads_send_persistent_messages(stack: MakeStack) -> None:
    storage = Watched()
    alice, bob = stack("alice", storage), stack("bob")
    connect(alice, bob)
    alice.start()
    bob.start()

    def send(thread: int) -> None:
        for number in range(500):
            data = b"%d:%d" % (thread, number)
            alice.messaging.send_message("bob", Message(data, None, FLAG_PERSISTENT))

    run_in_threads(4, send)
    bob.wait_for_received(2000)
    assert by_thread(bob.received) == {thread: [*range(500)] for thread in range(4)}
    storage.wait_until_empty()


def test_70_000_messages_while_no_loop_runs(stack: MakeStack) -> None:
    """1.6 writes a byte into a pipe for each one; after 65,536 it waits forever."""
    alice, bob = stack("alice"), stack("bob")
    connect(alice, bob)

    def send(thread: int) -> None:
        for number in range(35_000):
            alice.messaging.send_message("bob", Message(b"%d:%d" % (thread, number), ttl=None))

    run_in_threads(2, send)
    alice.start()
    bob.start()
    bob.wait_for_received(70_000)
    assert by_thread(bob.received) == {thread: [*range(35_000)] for thread in range(2)}


def test_connection_that_breaks_under_load_again_and_again(stack: MakeStack) -> None:
    alice, bob = stack("alice"), stack("bob")
    connect(alice, bob)

    def cut(conn_id: str, ident: str, message: Message) -> None:
        if message.data.endswith(b"77"):
            bob.link.close(conn_id)

    bob.messaging.on_message_recv.add(cut)
    alice.start()
    bob.start()

    def send(thread: int) -> None:
        for number in range(400):
            alice.messaging.send_message("bob", Message(b"%d:%d" % (thread, number), ttl=None))

    run_in_threads(4, send)
    bob.wait_for_received(1600)
    assert by_thread(bob.received) == {thread: [*range(400)] for thread in range(4)}


def test_peer_that_dies_under_load_harms_neither_senders_nor_loop(
    stack: MakeStack,
) -> None:
    """On 1.6 the senders and the loop wait for each other."""
    alice, bob = stack("alice"), stack("bob")
    address = connect(alice, bob)
    alice.start()
    bobs = [bob.start()]
    enough = threading.Event()
    last = [0] * 4

    def send(thread: int) -> None:
        if thread == 4:
            for _ in range(4):
                bobs[-1].wait_for_received(500)
                bobs[-1].end()
                bobs.append(stack("bob"))
                bobs[-1].link.add_listener(address)
                bobs[-1].start()
            bobs[-1].wait_for_received(500)
            enough.set()
            return
        while not enough.wait(0.0005):
            for _ in range(20):
                data = b"%d:%d" % (thread, last[thread])
                alice.messaging.send_message("bob", Message(data, ttl=None))
                last[thread] += 1

    run_in_threads(5, send)
    final = {(thread, last[thread] - 1) for thread in range(4)}

    def everything_has_come() -> bool:
        numbers = by_thread(bobs[-1].received[-500:])
        return final <= {(thread, n) for thread in numbers for n in numbers[thread]}

    bobs[-1].wait_until(everything_has_come)
    assert alice.thread.is_alive()
    received: dict[int, set[int]] = defaultdict(set)
    for each in bobs:  # what one of them had not acknowledged goes to the next one again
        for thread, numbers in by_thread(each.received).items():
            assert numbers == sorted(set(numbers))
            received[thread].update(numbers)
    assert received == {thread: set(range(last[thread])) for thread in range(4)}


def test_ttl_0_from_threads_while_the_peer_comes_and_goes(stack: MakeStack) -> None:
    alice, bob = stack("alice"), stack("bob")
    connect(alice, bob)

    def cut(conn_id: str, ident: str, message: Message) -> None:
        if message.data.endswith(b"99"):
            bob.link.close(conn_id)

    bob.messaging.on_message_recv.add(cut)
    alice.start()
    bob.start()
    uuids: dict[bytes, bytes] = {}

    def send(thread: int) -> None:
        for number in range(1000):
            data = b"%d:%d" % (thread, number)
            uuids[data] = alice.messaging.send_message("bob", Message(data))

    run_in_threads(4, send)

    # Order holds, so when this one has come there will be no more.
    bob.messaging.on_message_recv.remove(cut)
    uuids[b"9:0"] = alice.messaging.send_message("bob", Message(b"9:0", ttl=60))
    bob.wait_until(lambda: b"9:0" in bob.received)
    received = {uuids[data] for data in bob.received}
    alice.wait_until(lambda: received | alice.dropped == set(uuids.values()))
    for numbers in by_thread(bob.received).values():
        assert numbers == sorted(set(numbers))


def test_two_peers_answer_each_other_from_inside_their_callbacks(stack: MakeStack) -> None:
    alice, bob = stack("alice"), stack("bob")
    connect(alice, bob)

    def answer_of(this: Stack, other: str) -> Callable[[str, str, Message], None]:
        def answer(conn_id: str, ident: str, message: Message) -> None:
            if int(message.data) < 2000:
                this.messaging.send_message(other, Message(b"%d" % (int(message.data) + 1), 60))

        return answer

    alice.messaging.on_message_recv.add(answer_of(alice, "bob"))
    bob.messaging.on_message_recv.add(answer_of(bob, "alice"))
    alice.start()
    bob.start()
    alice.messaging.send_message("bob", Message(b"0", ttl=60))
    bob.wait_until(lambda: bob.received[-1:] == [b"2000"])
    assert bob.received == [b"%d" % number for number in range(0, 2001, 2)]
