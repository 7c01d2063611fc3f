"""What is kept in memory for each connection, packet and message."""

from __future__ import annotations

import gc
import socket
import tracemalloc
from collections.abc import Callable
from contextlib import closing

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from tests.hostile import stranger

MANY = 5_000
CONNECTIONS = 200


def kept(func: Callable[[], object]) -> int:
    """Bytes that are still allocated when ``func()`` has returned."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        func()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_an_idle_connection(new_link: Callable[[], Link]) -> None:
    link = new_link()
    messaging = Messaging("us", "", Packeter(link))
    identified = 0

    def count(conn_id: str, ident: str) -> None:
        nonlocal identified
        identified += 1

    messaging.on_connect.add(count)
    address = link.add_listener(("127.0.0.1", 0))
    sockets = [socket.socket() for _ in range(CONNECTIONS)]

    def connect() -> None:
        for number, sock in enumerate(sockets):
            sock.connect(address)
            sock.sendall(
                stranger.packets(stranger.VERSION, stranger.identification(f"peer{number}"))
            )
        while identified < CONNECTIONS:
            link.loop(count=1)

    try:
        size = kept(connect)
    finally:
        for sock in sockets:
            sock.close()
    # A budget, so that thousands of connections are nothing to speak of. Nine tenths are used.
    assert size / CONNECTIONS < 10 * 1024


def test_a_message_that_waits_in_a_queue(new_link: Callable[[], Link]) -> None:
    link = new_link()
    messaging = Messaging("us", "", Packeter(link))
    data = b"x" * 100  # the same for all: it is the application's

    def queue() -> None:
        for _ in range(MANY):
            messaging.send_message("absent", Message(data, ttl=60))
        link.loop(runtime=0)

    # The message, its uuid, its time and its place in the queue.
    assert kept(queue) / MANY < 600


def test_a_packet_that_waits_to_be_sent(new_link: Callable[[], Link]) -> None:
    link = new_link()
    packeter = Packeter(link)
    packet = b"x" * 100  # the same for all: it is the application's
    address = link.add_listener(("127.0.0.1", 0))
    connected: list[str] = []
    packeter.on_connect.add(connected.append)
    with closing(socket.create_connection(address)) as stranger:
        while not connected:
            link.loop(count=1)
        (conn_id,) = connected
        filler = bytes(64 * 1024 * 1024)  # the other side does not read
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        packeter.send_packet(conn_id, filler)
        link.loop(runtime=0)

        def queue() -> None:
            for _ in range(MANY):
                packeter.send_packet(conn_id, packet)

        # The size that goes before it, its place in the queue, and where it ends.
        assert kept(queue) / MANY < 200


def test_nothing_is_kept_of_what_was_sent_and_received(new_link: Callable[[], Link]) -> None:
    a, b = new_link(), new_link()
    sender, receiver = Packeter(a), Packeter(b)
    received = 0
    connected: list[str] = []

    def count(conn_id: str, packet: bytes) -> None:
        nonlocal received
        received += 1

    sender.on_connect.add(connected.append)
    receiver.on_packet_recv.add(count)
    a.add_connector(b.add_listener(("127.0.0.1", 0)))
    while not connected:
        a.loop(runtime=0)
        b.loop(runtime=0)

    def transfer() -> None:
        wanted = received + MANY
        for _ in range(MANY):
            sender.send_packet(connected[0], b"x" * 100)
        while received < wanted:
            a.loop(runtime=0)
            b.loop(runtime=0)

    transfer()  # what is made at the first time only
    # A byte for each packet would be too much: nothing grows with their number.
    assert kept(transfer) < MANY
