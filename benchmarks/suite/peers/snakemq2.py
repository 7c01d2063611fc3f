"""snakeMQ 2 as a user gets it: acknowledgements, repetitions, callbacks and statistics are on."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing

from benchmarks.suite.harness.role import Role, time_callers
from snakemq.link import Link
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.queues import open_storage

TTL = 60.0
BATCH = 100
OUTSTANDING = 1_000
"""Futures that are waited for at the same time."""


def stack(ident: str, storage: str | None = None) -> tuple[Link, Messaging]:
    link = Link()
    return link, Messaging(ident, "", Packeter(link), storage)


# -- packets


def packets_receiver(role: Role) -> None:
    link = Link()
    packeter = Packeter(link)
    left = role.count

    def on_packet(conn_id: str, packet: bytes) -> None:
        nonlocal left
        left -= 1
        if not left:
            role.finish()

    packeter.on_connect.add(lambda conn_id: role.meet())
    packeter.on_packet_recv.add(on_packet)
    role.ready(link.add_listener(("127.0.0.1", 0)))
    link.loop()


def packets_sender(role: Role) -> None:
    link = Link()
    packeter = Packeter(link)
    packet = role.payload

    def on_connect(conn_id: str) -> None:
        role.meet()
        for _ in range(role.count):
            packeter.send_packet(conn_id, packet)

    packeter.on_connect.add(on_connect)
    link.add_connector(tuple(role.address))
    link.loop()


# -- messages


def messages_receiver(role: Role) -> None:
    link, messaging = stack("receiver")
    left = role.count

    def on_message(conn_id: str, ident: str, message: Message) -> None:
        nonlocal left
        left -= 1
        if not left:
            role.finish()

    messaging.on_connect.add(lambda conn_id, ident: role.meet())
    messaging.on_message_recv.add(on_message)
    role.ready(link.add_listener(("127.0.0.1", 0)))
    link.loop()


def messages_sender(role: Role) -> None:
    """``way``: ``queued`` at once in the loop, the same in ``batches``, ``chained`` one after
    another, or by a ``thread``."""
    link, messaging = stack("sender")
    data, count = role.payload, role.count

    def send_all() -> None:
        if role.way == "batches":
            for _ in range(count // BATCH):
                messages = [Message(data, TTL) for _ in range(BATCH)]
                messaging.send_messages("receiver", messages)
        else:
            for _ in range(count):
                messaging.send_message("receiver", Message(data, TTL))

    if role.way == "thread":
        connected = threading.Event()

        def run() -> None:
            connected.wait()
            role.meet()
            send_all()

        threading.Thread(target=run, daemon=True).start()
        messaging.on_connect.add(lambda conn_id, ident: connected.set())
    elif role.way in ("queued", "batches"):

        def on_connect(conn_id: str, ident: str) -> None:
            role.meet()
            send_all()

        messaging.on_connect.add(on_connect)
    else:
        left = count

        def send_next(*_: object) -> None:
            nonlocal left
            if left:
                left -= 1
                messaging.send_message("receiver", Message(data, TTL))

        def begin(conn_id: str, ident: str) -> None:
            role.meet()
            send_next()

        messaging.on_connect.add(begin)
        messaging.on_message_sent.add(send_next)
    link.add_connector(tuple(role.address))
    link.loop()


# -- calls


class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b


def calls_server(role: Role) -> None:
    """``method``: as ``inline`` says, in the thread of the loop, or else in a pool of threads."""
    from snakemq.rpc import RpcServer, inline

    if role.method == "inline":
        inline(Calculator.add)
    link, messaging = stack("server")
    RpcServer(ReceiveHook(messaging)).register_object(Calculator(), "calculator")
    role.ready(link.add_listener(("127.0.0.1", 0)))
    link.loop()


def calls_client(role: Role) -> None:
    from snakemq.rpc import RpcClient

    link, messaging = stack("client")
    client = RpcClient(ReceiveHook(messaging))
    link.add_connector(tuple(role.address))
    threading.Thread(target=link.loop, daemon=True).start()
    add = client.get_proxy("server", "calculator").add

    def new_call() -> Callable[[int, int], int]:
        return add

    if role.settings.get("futures"):
        time_futures(role, add.future)
    else:
        time_callers(role, new_call)
    role.stay()


def time_futures(role: Role, call: Callable[[int, int], Future[int]]) -> None:
    """One thread that has up to 1,000 calls outstanding."""
    assert call(1, 2).result() == 3
    role.meet()
    waiting: deque[Future[int]] = deque()
    for _ in range(role.count):
        waiting.append(call(1, 2))
        if len(waiting) == OUTSTANDING:
            waiting.popleft().result()
    for future in waiting:
        future.result()
    role.finish(calls=role.count)


# -- durable messages


def durable_sender(role: Role) -> None:
    """``in_flight`` threads that send one after another, or one that sends batches of ``batch``;
    ``backlog`` waits for another peer."""
    url = f"sqlite:///{role.folder}/queue.db"
    if backlog := role.settings.get("backlog"):
        with closing(open_storage(url)) as storage:
            for begin in range(0, backlog, 10_000):
                number = min(10_000, backlog - begin)
                storage.push_many("absent", [durable(role.payload) for _ in range(number)])
    link, messaging = stack("sender", url)
    data, connected = role.payload, threading.Event()

    def send(count: int) -> None:
        if batch := role.settings.get("batch"):
            for _ in range(count // batch):
                messaging.send_messages("receiver", [durable(data) for _ in range(batch)])
        else:
            for _ in range(count):
                messaging.send_message("receiver", durable(data))

    def run() -> None:
        each = role.count // role.in_flight
        threads = [threading.Thread(target=send, args=(each,)) for _ in range(role.in_flight)]
        connected.wait()
        role.meet()
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        role.tell("accepted", time.perf_counter() - began)

    threading.Thread(target=run, daemon=True).start()
    messaging.on_connect.add(lambda conn_id, ident: connected.set())
    link.add_connector(tuple(role.address))
    link.loop()


def durable(data: bytes) -> Message:
    return Message(data, None, FLAG_PERSISTENT)


# -- many connections


def connections_receiver(role: Role) -> None:
    """``messages``: those who connect are identified, and send messages; else packets."""
    link = Link()
    packeter = Packeter(link)
    left, missing = role.count, role.connections

    def on_connect(*_: str) -> None:
        nonlocal missing
        missing -= 1
        if not missing:
            role.meet()

    def on_packet(conn_id: str, packet: bytes) -> None:
        nonlocal left
        left -= 1
        if not left:
            role.finish()

    def on_message(conn_id: str, ident: str, message: Message) -> None:
        nonlocal left
        left -= 1
        if not left:
            role.finish()

    if role.settings.get("messages"):
        messaging = Messaging("receiver", "", packeter)
        messaging.on_connect.add(on_connect)
        messaging.on_message_recv.add(on_message)
    else:
        packeter.on_connect.add(on_connect)
        packeter.on_packet_recv.add(on_packet)
    role.ready(link.add_listener(("127.0.0.1", 0)))
    link.loop()


# -- presence


def idle_listener(role: Role) -> None:
    link, messaging = stack("listener")
    messaging.on_connect.add(lambda conn_id, ident: role.meet())
    role.ready(link.add_listener(("127.0.0.1", 0)))
    link.loop()


def idle_dialler(role: Role) -> None:
    link, messaging = stack("dialler")
    messaging.on_connect.add(lambda conn_id, ident: role.meet())
    link.add_connector(tuple(role.address))
    link.loop()


def reconnect_listener(role: Role) -> None:
    link, messaging = stack("listener")
    messaging.on_message_recv.add(lambda conn_id, ident, message: role.finish())
    role.ready(link.add_listener(tuple(role.settings.get("address", ("127.0.0.1", 0)))))
    link.loop()


def reconnect_dialler(role: Role) -> None:
    link, messaging = stack("dialler")
    messaging.on_connect.add(
        lambda conn_id, ident: messaging.send_message(ident, Message(b"here again", TTL))
    )
    link.add_connector(tuple(role.address))
    link.loop()
