"""Each situation of guarantees.md is made to happen, and what happens is held against the page."""

from __future__ import annotations

import importlib
import inspect
import pickle
import re
import struct
import threading
from collections.abc import Callable, Sequence

import pytest

from snakemq.link.testing import MemoryLink, MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.messaging._incoming._acks import ACK_DELAY
from snakemq.messaging._incoming._inboxes import MAX_ABSENT_INBOXES, MAX_ABSENT_UUIDS
from snakemq.messaging._outgoing._queue._queue import MAX_BYTES_IN_MEMORY, MAX_MESSAGES_IN_MEMORY
from snakemq.messaging._outgoing._stored._deletions import DELETE_BATCH, DELETE_DELAY
from snakemq.messaging._outgoing._stored._pages import PAGE_MESSAGES
from snakemq.messaging._outgoing._stored._sweep import INTERVAL
from snakemq.messaging._patience import FIRST_DELAY, MAX_DELAY
from snakemq.messaging._peers._past import MAX_IDENTS
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage
from snakemq.rpc import RpcServer, as_signal
from snakemq.rpc._pickling._limits import (
    FREE_MEMORY,
    FREE_STEPS,
    MAX_DEPTH,
    MEMORY_FACTOR,
    STEPS_PER_BYTE,
)
from snakemq.rpc._protocol import REQUEST_PREFIX
from snakemq.rpc._replies._answers import MAX_TRACEBACK

from .pages import DOCS
from .tables import rows

PAGE = (DOCS / "guarantees.md").read_text()


class Died(BaseException):
    """The process of the receiver ends in the middle of a callback."""


class RecordingInbox(MemoryQueuesStorage):
    """An inbox whose owner can be made to die in the middle of it."""

    dies = "no"
    world: World

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        world, self.dies, when = self.world, "no", self.dies
        if when == "before recording":
            world.network.crash(world.receiver)
            raise Died
        super().remember(ident, uuids, keep)
        if when == "after recording":
            world.network.crash(world.receiver)
            raise Died


class World:
    """A sender, a receiver, and one message."""

    def __init__(self, kind: str) -> None:
        self.network = MemoryNetwork()
        self.message = {
            "`ttl=0`": Message(b"x"),
            "transient": Message(b"x", ttl=60),
            "persistent": Message(b"x", ttl=60, flags=FLAG_PERSISTENT),
        }[kind]
        self.storage = MemoryQueuesStorage()
        self.inbox: RecordingInbox | None = None
        self.dead_letters: MemoryQueuesStorage | None = None
        self.manual_ack = False
        self.defers = False
        """Does the callback defer the acknowledgement, once, before the receiver dies?"""
        self.processed = 0
        self.reported = 0
        self.on_arrival: Callable[[], None] | None = None
        """Called once, before the message is processed."""
        self.on_processed: Callable[[], None] | None = None
        """Called once, after that and before the acknowledgement."""
        self.settle: Callable[[World, Message], None] | None = None
        """Called once, instead of all that."""
        self.start_sender()
        self.start_receiver()

    def start_sender(self) -> None:
        self.storage = MemoryQueuesStorage(self.storage)
        self.sender = self.network.link("sender")
        self.sending = Messaging("sender", "", Packeter(self.sender), self.storage)
        self.sending.on_message_drop.add(self._on_drop)

    def start_receiver(self) -> None:
        if self.inbox is not None:
            self.inbox, predecessor = RecordingInbox(self.inbox), self.inbox
            self.inbox.world = self
            predecessor.close()
        if self.dead_letters is not None:
            self.dead_letters = MemoryQueuesStorage(self.dead_letters)
        self.receiver = self.network.link("receiver")
        self.receiving = Messaging(
            "receiver",
            "",
            Packeter(self.receiver),
            inbox=self.inbox,
            dead_letters=self.dead_letters,
            manual_ack=self.manual_ack,
        )
        self.receiving.on_message_recv.add(self._on_recv)

    def _on_drop(self, ident: str, uuid: bytes) -> None:
        self.reported += 1

    def _on_recv(self, conn_id: str, ident: str, message: Message) -> None:
        if self.defers:
            self.defers = False
            self.receiving.defer_ack(message)
            return  # and nobody has worked on it yet
        if self.settle is not None:
            settle, self.settle = self.settle, None
            settle(self, message)
            return
        if self.on_arrival is not None:
            on_arrival, self.on_arrival = self.on_arrival, None
            on_arrival()
        if self.manual_ack:
            self.receiving.ack(message)
        self.processed += 1
        if self.on_processed is not None:
            on_processed, self.on_processed = self.on_processed, None
            on_processed()

    def connect(self) -> None:
        self.conn_id, _ = self.network.connect(self.sender, self.receiver)
        self.run()

    def send(self) -> None:
        self.sending.send_message("receiver", self.message)
        self.run()

    def run(self) -> None:
        try:
            self.network.run_until_idle()
        except Died:
            self.network.run_until_idle()

    def break_connection(self) -> None:
        self.network.disconnect(self.conn_id)

    def kill(self, link: MemoryLink) -> None:
        self.network.crash(link)

    def receiver_dies(self) -> None:
        self.network.crash(self.receiver)
        raise Died

    def both_die(self) -> None:
        self.network.crash(self.sender)
        self.receiver_dies()

    def outcome(self) -> str:
        self.network.advance(1)
        times = {0: "never", 1: "once", 2: "twice"}[self.processed]
        assert self.reported in (0, 1)
        if self.reported:
            return f"{times}, reported"
        return times if self.processed else "lost"


def connected(world: World) -> None:
    world.connect()
    world.send()


def away(world: World) -> None:
    world.send()
    world.network.advance(5)
    world.connect()


def away_too_long(world: World) -> None:
    world.send()
    world.network.advance(61)
    world.connect()


def breaks_before_arrival(world: World) -> None:
    world.connect()
    world.network.reset_after(world.conn_id, 20)
    world.send()
    world.connect()


def breaks_after_arrival(world: World) -> None:
    world.connect()
    world.on_processed = world.break_connection
    world.send()
    world.connect()


def receiver_dies_before(world: World) -> None:
    world.connect()
    world.on_arrival = world.receiver_dies
    world.send()
    world.start_receiver()
    world.connect()


def receiver_dies_after(world: World) -> None:
    world.connect()
    world.on_processed = world.receiver_dies
    world.send()
    world.start_receiver()
    world.connect()


def with_inbox(dies: str) -> Callable[[World], None]:
    def situation(world: World) -> None:
        world.inbox = RecordingInbox()
        world.kill(world.receiver)
        world.start_receiver()
        world.connect()
        if world.message.ttl == 0:
            world.on_processed = world.receiver_dies  # it is not recorded at all
        world.inbox.dies = dies
        world.send()
        world.network.advance(1)
        world.start_receiver()
        world.connect()

    return situation


def sender_dies_while_peer_is_away(world: World) -> None:
    world.send()
    world.kill(world.sender)
    world.start_sender()
    world.connect()


def sender_dies_before_ack(world: World) -> None:
    world.connect()
    world.on_processed = lambda: world.kill(world.sender)
    world.send()
    world.start_sender()
    world.connect()


def both_die_before_ack(world: World) -> None:
    world.connect()
    world.on_processed = world.both_die
    world.send()
    world.start_sender()
    world.start_receiver()
    world.connect()


def both_die_with_inbox(world: World) -> None:
    world.inbox = RecordingInbox()
    world.kill(world.receiver)
    world.start_receiver()
    world.connect()
    if world.message.ttl == 0:
        world.on_processed = world.both_die
    else:
        world.on_processed = lambda: world.kill(world.sender)
    world.inbox.dies = "after recording"
    world.send()
    world.network.advance(1)
    world.start_sender()
    world.start_receiver()
    world.connect()


def callback_raises_once(world: World) -> None:
    def fail() -> None:
        raise ValueError("not today")

    world.connect()
    world.on_arrival = fail
    world.send()
    world.network.advance(2)


def dies_before_manual_ack(world: World) -> None:
    world.kill(world.receiver)
    world.manual_ack = True
    world.start_receiver()
    receiver_dies_before(world)


class Peer16(World):
    """The receiver speaks as 1.6 does: no FEATURES, no acknowledgements."""

    def start_receiver(self) -> None:
        self.receiver = self.network.link("receiver")
        packeter = Packeter(self.receiver)

        def introduce(conn_id: str) -> None:
            packeter.send_packet(conn_id, struct.pack("!BI", 0, 1))
            packeter.send_packet(conn_id, b"\x02receiver")

        def on_packet_recv(conn_id: str, packet: bytes) -> None:
            self.processed += packet[0] == 3

        packeter.on_connect.add(introduce)
        packeter.on_packet_recv.add(on_packet_recv)


def dies_before_deferred_ack(world: World) -> None:
    world.connect()
    world.defers = True
    world.send()
    world.kill(world.receiver)
    world.start_receiver()
    world.connect()


class SignalWorld(World):
    """The message is a signal to a server with one thread."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.message = Message(
            request("note"),
            ttl=self.message.ttl,
            flags=self.message.flags,
            uuid=b"the signal" + bytes(6),
        )

    def start_receiver(self) -> None:
        super().start_receiver()
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.server = RpcServer(ReceiveHook(self.receiving), threads=1)
        self.server.register_object(self, "world")

    def _on_recv(self, conn_id: str, ident: str, message: Message) -> None:
        """Only the method counts."""

    def _on_drop(self, ident: str, uuid: bytes) -> None:
        self.reported += uuid == self.message.uuid

    @as_signal
    def note(self) -> None:
        self.processed += 1

    @as_signal
    def block(self) -> None:
        self.begun.set()
        self.go_on.wait(10)

    def busy(self) -> None:
        """Connect, and let the signal come while the only thread is busy."""
        self.connect()
        self.sending.send_message("receiver", Message(request("block"), ttl=60))
        self.run()
        assert self.begun.wait(10)
        self.send()
        assert not self.processed

    def outcome(self) -> str:
        self.go_on.set()
        pool = self.server._dispatcher.pool
        self.network.run_until(lambda: not pool._unfinished, timeout=5, patience=5)
        return super().outcome()


def request(method: str) -> bytes:
    fields = {"command": "signal", "object": "world", "method": method, "args": (), "kwargs": {}}
    return REQUEST_PREFIX + pickle.dumps(fields, 4)


def signal_comes_while_busy(world: World) -> None:
    assert isinstance(world, SignalWorld)
    world.busy()


def breaks_while_signal_waits(world: World) -> None:
    assert isinstance(world, SignalWorld)
    world.busy()
    world.break_connection()
    world.run()
    world.connect()


def dies_while_signal_waits(world: World) -> None:
    assert isinstance(world, SignalWorld)
    world.busy()
    world.kill(world.receiver)
    world.start_receiver()
    world.go_on.set()
    world.connect()


def breaks_before_taken_over(world: World) -> None:
    world.connect()
    world.network.stall(world.conn_id)
    world.send()
    world.break_connection()
    world.run()
    world.connect()


def breaks_after_taken_over(world: World) -> None:
    world.connect()
    world.network.shape(world.conn_id, latency=1.0)
    world.send()
    world.break_connection()
    world.run()
    world.connect()


def settled_otherwise_first(
    settle: Callable[[World, Message], None],
) -> Callable[[World], None]:
    def situation(world: World) -> None:
        world.kill(world.receiver)
        world.manual_ack = True
        world.start_receiver()
        world.connect()
        world.settle = settle
        world.send()
        world.network.advance(2)

    return situation


def reject(world: World, message: Message) -> None:
    world.receiving.reject(message, "no")


def reject_and_die(world: World, message: Message) -> None:
    reject(world, message)
    world.receiver_dies()


def rejected(world: World) -> None:
    settled_otherwise_first(reject)(world)


def breaks_after_rejection(world: World) -> None:
    def reject_too_late(world: World, message: Message) -> None:
        world.receiving.reject(message)
        world.break_connection()

    settled_otherwise_first(reject_too_late)(world)
    world.connect()


def dies_after_rejection(world: World) -> None:
    world.inbox = RecordingInbox()
    world.kill(world.receiver)
    world.manual_ack = True
    world.start_receiver()
    world.connect()
    world.settle = reject
    if world.message.ttl == 0:
        world.settle = reject_and_die  # it is not recorded at all
    world.inbox.dies = "after recording"
    world.send()
    world.start_receiver()
    world.connect()


def requeued(world: World) -> None:
    world.dead_letters = MemoryQueuesStorage()
    rejected(world)
    letters = world.receiving.dead_letters
    assert letters is not None
    letters.requeue(letters.list())
    world.run()


def dies_with_requeued(world: World) -> None:
    world.on_processed = world.receiver_dies
    requeued(world)
    world.start_receiver()


SAME_WITH_INBOX = "the same, and the receiver has an `inbox` that has recorded the message"
SITUATIONS: list[tuple[str, type[World], Callable[[World], None]]] = [
    ("the peer is connected", World, connected),
    ("the peer is away, and comes in time", World, away),
    ("the peer is away, and the ttl runs out", World, away_too_long),
    ("the connection breaks before the message has arrived", World, breaks_before_arrival),
    ("the connection breaks after that, before the acknowledgement", World, breaks_after_arrival),
    (
        "the receiver's process dies before the message is processed, and comes back",
        World,
        receiver_dies_before,
    ),
    (
        "the receiver's process dies after that, before the acknowledgement, and comes back",
        World,
        receiver_dies_after,
    ),
    (SAME_WITH_INBOX, World, with_inbox("after recording")),
    (
        "the same, but it dies before the `inbox` has recorded it",
        World,
        with_inbox("before recording"),
    ),
    (
        "the sender's process dies while the peer is away, and comes back",
        World,
        sender_dies_while_peer_is_away,
    ),
    (
        "the sender's process dies before the acknowledgement, and comes back",
        World,
        sender_dies_before_ack,
    ),
    (
        "both processes die before the acknowledgement, and come back",
        World,
        both_die_before_ack,
    ),
    (SAME_WITH_INBOX, World, both_die_with_inbox),
    (
        "a callback raises, and does not when the message is offered again",
        World,
        callback_raises_once,
    ),
    (
        "with `manual_ack` the receiver's process dies before `ack()`, and comes back",
        World,
        dies_before_manual_ack,
    ),
    ("the same, and a callback has called `defer_ack()`", World, dies_before_deferred_ack),
    (
        "the application retries a message, and processes it when it is offered again",
        World,
        settled_otherwise_first(lambda world, message: world.receiving.retry(message)),
    ),
    (
        "the application releases a message, and processes it when it is offered again",
        World,
        settled_otherwise_first(lambda world, message: world.receiving.release(message)),
    ),
    ("the application rejects a message", World, rejected),
    (
        "the connection breaks after the rejection, before the acknowledgement",
        World,
        breaks_after_rejection,
    ),
    (
        "the receiver's process dies after the rejection, before the acknowledgement, and the next"
        " one has its `inbox`",
        World,
        dies_after_rejection,
    ),
    (
        "the application rejects a message, and processes it when the dead letter is requeued",
        World,
        requeued,
    ),
    (
        "the receiver's process dies while a requeued message is processed, and comes back",
        World,
        dies_with_requeued,
    ),
    (
        "a signal comes while all threads of the server are busy",
        SignalWorld,
        signal_comes_while_busy,
    ),
    (
        "the connection breaks while a signal waits for a thread",
        SignalWorld,
        breaks_while_signal_waits,
    ),
    (
        "the server's process dies while a signal waits for a thread, and comes back",
        SignalWorld,
        dies_while_signal_waits,
    ),
    ("the 1.6 peer is connected", Peer16, connected),
    (
        "the connection to it breaks before the system has taken the message over",
        Peer16,
        breaks_before_taken_over,
    ),
    (
        "the connection to it breaks after that, before the message has arrived",
        Peer16,
        breaks_after_taken_over,
    ),
]
KINDS = ["`ttl=0`", "transient", "persistent"]


def test_the_page_has_these_situations_and_no_others() -> None:
    assert [row[0] for row in rows(PAGE, "situation")] == [title for title, _, _ in SITUATIONS]


CELLS = [
    (number, kind, row[1 + column])
    for number, row in enumerate(rows(PAGE, "situation"))
    for column, kind in enumerate(KINDS)
]


@pytest.mark.parametrize(
    ("number", "kind", "promised"),
    CELLS,
    ids=[f"{SITUATIONS[number][0]} - {kind}" for number, kind, _ in CELLS],
)
def test_a_message_is_processed_as_often_as_the_page_says(
    number: int, kind: str, promised: str
) -> None:
    _, make_world, happen = SITUATIONS[number]
    world = make_world(kind)
    happen(world)
    assert world.outcome() == promised


def test_order_survives_reconnections_and_restarts_of_the_receiver() -> None:
    network = MemoryNetwork(seed=1)
    received: list[int] = []
    sender, receiver = network.link("sender"), network.link("receiver")
    sending = Messaging("sender", "", Packeter(sender), MemoryQueuesStorage())

    def start_receiver() -> None:
        messaging = Messaging("receiver", "", Packeter(receiver))
        messaging.on_message_recv.add(lambda _c, _i, message: received.append(int(message.data)))

    start_receiver()
    for number in range(300):
        flags = FLAG_PERSISTENT if number % 3 else 0
        sending.send_message("receiver", Message(str(number).encode(), ttl=60, flags=flags))
    for cut in range(50, 5000, 400):
        conn_id, _ = network.connect(sender, receiver)
        network.reset_after(conn_id, cut)
        network.run_until_idle()
    network.crash(receiver)
    network.run_until_idle()
    receiver = network.link("receiver")
    start_receiver()
    network.connect(sender, receiver)
    network.run_until_idle()
    # Only the new receiver, which has forgotten everything, can have got something twice.
    first_time = list(dict.fromkeys(received))
    assert first_time == list(range(300))


@pytest.mark.parametrize(("ttl", "away"), [(0.5, 0.1), (1.5, 1.2), (10, 9.5)])
def test_a_message_in_its_last_second_is_not_processed_twice(ttl: float, away: float) -> None:
    world = World("transient")
    world.message = Message(b"x", ttl=ttl)
    world.connect()
    world.on_processed = world.break_connection
    world.send()
    world.network.advance(away)
    world.connect()
    assert world.outcome() == "once"


@pytest.mark.parametrize(("has_inbox", "times"), [(False, 2), (True, 1)])
def test_a_message_behind_a_deferred_one_is_repeated_without_an_inbox(
    has_inbox: bool, times: int
) -> None:
    world = World("transient")
    world.message = Message(b"behind", ttl=60)
    if has_inbox:
        world.inbox = RecordingInbox()
        world.kill(world.receiver)
        world.start_receiver()
    world.connect()
    world.defers = True
    world.sending.send_message("receiver", Message(b"deferred", ttl=60))
    world.send()
    assert world.processed == 1
    world.kill(world.receiver)
    world.start_receiver()
    world.connect()
    assert world.processed == times + 1


UNITS = {"": 1, "s": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def number(text: str) -> float:
    match = re.fullmatch(r"([\d,.]+) ?(\w*)", text)
    assert match is not None
    return float(match[1].replace(",", "")) * UNITS[match[2]]


@pytest.mark.parametrize(("constant", "value", "_of"), rows(PAGE, "constant"))
def test_the_limits_on_the_page_are_the_limits(constant: str, value: str, _of: str) -> None:
    module, _, name = constant.strip("`").rpartition(".")
    limit = getattr(importlib.import_module(module), name)
    numbers = tuple(map(number, value.split(", ")))
    assert numbers == (limit if isinstance(limit, tuple) else (limit,))


@pytest.mark.parametrize(("argument", "value", "_of"), rows(PAGE, "argument of `RpcServer`"))
def test_the_limits_of_rpc_on_the_page_are_the_limits(argument: str, value: str, _of: str) -> None:
    default = inspect.signature(RpcServer).parameters[argument.strip("`")].default
    assert number(value) == default


def test_the_limits_of_decoding_on_the_page_are_the_limits() -> None:
    told = [row[1] for row in rows(PAGE, "what `SafePickler` decodes")]
    assert told == [
        f"{FREE_MEMORY >> 20} MiB and {MEMORY_FACTOR} bytes for each byte of the pickle"
        " (`memory_factor`)",
        f"{FREE_STEPS:,} and {STEPS_PER_BYTE} for each byte of the pickle",
        str(MAX_DEPTH),
        f"{MAX_TRACEBACK:,}",
    ]


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    absent = f"{MAX_ABSENT_INBOXES:,} absent senders, with {MAX_ABSENT_UUIDS:,} uuids together;"
    assert f"It remembers {absent}" in text
    assert f"within {DELETE_DELAY} seconds or {DELETE_BATCH:,} messages" in text
    assert f"The first {MAX_MESSAGES_IN_MEMORY:,} persistent messages" in text
    assert f"or the first {MAX_BYTES_IN_MEMORY >> 20} MiB of data" in text
    assert f"in pages of {PAGE_MESSAGES:,} when" in text
    assert f"some {INTERVAL:g} seconds late if the peer is away" in text
    assert f"again after {FIRST_DELAY} seconds, then after {2 * FIRST_DELAY}, and" in text
    assert f"up to every {MAX_DELAY:g} seconds" in text
    protocol = " ".join((DOCS / "protocol.md").read_text().split())
    assert f"or after {ACK_DELAY} s." in protocol
    assert f"last {MAX_IDENTS:,} idents" in protocol


def test_no_limit_is_missing_on_the_page() -> None:
    told = {row[0].strip("`") for row in rows(PAGE, "constant")}
    not_limits = {"snakemq.messaging.PROTOCOL_VERSION", "snakemq.message.FLAG_PERSISTENT"}
    for name in ("link", "packeter", "throttle", "message", "messaging", "queues"):
        module = importlib.import_module(f"snakemq.{name}")
        for constant in vars(module):
            full_name = f"snakemq.{name}.{constant}"
            if constant.isupper() and isinstance(getattr(module, constant), (int, float)):
                assert full_name in told | not_limits
