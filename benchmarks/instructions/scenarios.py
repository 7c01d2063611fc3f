"""What is counted. Each scenario returns a function that does its thing ``count`` times."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.queues import QueuesStorageBase
from snakemq.rpc import RpcClient, RpcServer, inline
from snakemq.storage.sqlite import SqliteQueuesStorage

from .wire import Wire

DATA = b"x" * 100
WARM_UP = 200
"""How often a scenario runs before anything is counted, for the interpreter to specialize it."""

Round: TypeAlias = Callable[[int], None]


def _pair(wire: Wire, storage: QueuesStorageBase | None = None) -> tuple[Messaging, Messaging]:
    a = Messaging("a", "", Packeter(wire.a), storage)
    return a, Messaging("b", "", Packeter(wire.b))


def message() -> Round:
    """Make a message."""

    def run(count: int) -> None:
        for _ in range(count):
            Message(DATA, 60)

    return run


def packets() -> Round:
    """Send packets of 100 bytes, all at once."""
    wire = Wire()
    a, b = Packeter(wire.a), Packeter(wire.b)
    b.on_packet_recv.add(lambda conn_id, packet: None)
    wire.connect()

    def run(count: int) -> None:
        for _ in range(count):
            a.send_packet(wire.a.conn_id, DATA)
        wire.run()

    return run


def packet_and_answer() -> Round:
    """Send a packet when the one before was answered."""
    wire = Wire()
    a, b = Packeter(wire.a), Packeter(wire.b)
    left = 0

    def send(*_: Any) -> None:
        nonlocal left
        if left:
            left -= 1
            a.send_packet(wire.a.conn_id, DATA)

    a.on_packet_recv.add(send)
    b.on_packet_recv.add(lambda conn_id, packet: b.send_packet(conn_id, packet))
    wire.connect()

    def run(count: int) -> None:
        nonlocal left
        left = count
        send()
        wire.run()

    return run


def batch(storage: QueuesStorageBase | None = None) -> Round:
    """Send messages, all at once."""
    wire = Wire()
    a, b = _pair(wire, storage)
    flags = FLAG_PERSISTENT if storage is not None else 0
    b.on_message_recv.add(lambda conn_id, ident, message: None)
    wire.connect()

    def run(count: int) -> None:
        for _ in range(count):
            a.send_message("b", Message(DATA, 60, flags))
        wire.run()

    return run


def one_by_one(storage: QueuesStorageBase | None = None) -> Round:
    """Send a message when the one before was delivered."""
    wire = Wire()
    a, b = _pair(wire, storage)
    flags = FLAG_PERSISTENT if storage is not None else 0
    left = 0

    def send(*_: Any) -> None:
        nonlocal left
        if left:
            left -= 1
            a.send_message("b", Message(DATA, 60, flags))

    a.on_message_delivered.add(send)
    b.on_message_recv.add(lambda conn_id, ident, message: None)
    wire.connect()

    def run(count: int) -> None:
        nonlocal left
        left = count
        send()
        wire.run()

    return run


def urgent() -> Round:
    """Send an urgent message when the one before was answered by another urgent one."""
    wire = Wire()
    a, b = _pair(wire)
    left = 0

    def send(*_: Any) -> None:
        nonlocal left
        if left:
            left -= 1
            a.send_message("b", Message(DATA, 60), urgent=True)

    def answer(conn_id: str, ident: str, message: Message) -> None:
        b.send_message("a", Message(DATA, 60), urgent=True)

    a.on_message_recv.add(send)
    b.on_message_recv.add(answer)
    wire.connect()

    def run(count: int) -> None:
        nonlocal left
        left = count
        send()
        wire.run()

    return run


class Adder:
    @inline
    def add(self, a: int, b: int) -> int:
        return a + b


def calls() -> Round:
    """Call a remote method, and again when it has returned."""
    wire = Wire()
    a, b = _pair(wire)
    add = RpcClient(ReceiveHook(a)).get_proxy("b", "adder").add
    RpcServer(ReceiveHook(b)).register_object(Adder(), "adder")
    wire.connect()

    def run(count: int) -> None:
        for _ in range(count):
            future = add.future(1, 2)
            wire.run()
            assert future.result(0) == 3

    return run


def absent(ttl: float = 60) -> Round:
    """Send messages to a peer that is not connected."""
    wire = Wire()
    a, _ = _pair(wire)
    wire.connect()

    def run(count: int) -> None:
        for _ in range(count):
            a.send_message("nobody", Message(DATA, ttl))
        wire.run()

    return run


opened = ExitStack()
"""Closes the storages that scenarios have opened, and removes their folders."""


def _sqlite() -> QueuesStorageBase:
    folder = opened.enter_context(TemporaryDirectory())
    return opened.enter_context(closing(SqliteQueuesStorage(f"{folder}/queues.sqlite")))


SCENARIOS: dict[str, Callable[[], Round]] = {
    "message": message,
    "packets": packets,
    "packet and answer": packet_and_answer,
    "batch": batch,
    "one by one": one_by_one,
    "urgent": urgent,
    "calls": calls,
    "absent peer": absent,
    "absent peer, ttl 0": lambda: absent(0),
    "stored batch": lambda: batch(_sqlite()),
    "stored one by one": lambda: one_by_one(_sqlite()),
}


def run_between_marks(count: int, names: list[str]) -> None:
    """Run scenarios ``count`` times each, with a call of ``os.getppid`` before and after each."""
    gc.disable()
    with opened:
        for name in names:
            run = SCENARIOS[name]()
            run(WARM_UP)
            os.getppid()
            run(count)
            os.getppid()
