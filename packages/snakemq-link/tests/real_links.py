"""Links over real sockets: they keep a diary, and run by turns in one thread or each in its own."""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from snakemq.link import Link

DEADLINE = 60.0
"""Seconds for anything to happen. Far more than it takes, so slow machines do not matter."""

LOCALHOST = ("127.0.0.1", 0)


class DiaryLink(Link):
    """Writes down what its callbacks get."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.connected: list[str] = []
        self.disconnected: list[str] = []
        self.received: defaultdict[str, bytearray] = defaultdict(bytearray)
        self.sent: defaultdict[str, int] = defaultdict(int)
        self.passes = 0
        self.on_connect.add(self.connected.append)
        self.on_disconnect.add(self.disconnected.append)
        self.on_recv.add(self._note_recv)
        self.on_ready_to_send.add(self._note_sent)
        self.on_loop_pass.add(self._note_pass)

    def _note_recv(self, conn_id: str, data: bytes) -> None:
        self.received[conn_id] += data

    def _note_sent(self, conn_id: str, sent: int) -> None:
        self.sent[conn_id] += sent

    def _note_pass(self) -> None:
        self.passes += 1

    @property
    def open(self) -> list[str]:
        return [conn_id for conn_id in self.connected if conn_id not in self.disconnected]

    def send_all(self, conn_id: str, data: bytes) -> None:
        """Send data in several sends, each inside the ``on_ready_to_send`` of the last one."""
        rest = memoryview(data)

        def go_on(ready: str, sent: int) -> None:
            nonlocal rest
            if ready == conn_id:
                rest = rest[sent:]
                if rest:
                    self.send(conn_id, rest)
                else:
                    self.on_ready_to_send.remove(go_on)

        self.on_ready_to_send.add(go_on)
        self.send(conn_id, rest)


def run_until(predicate: Callable[[], object], *links: Link) -> None:
    """Run the links by turns in this thread until it holds; fails after :data:`DEADLINE`."""
    deadline = time.monotonic() + DEADLINE
    turns = 0
    while not predicate():
        assert time.monotonic() < deadline, "waited in vain"
        turns += 1
        # Without sleep while things happen, and with short sleeps when they take longer.
        for link in links:
            link.loop(runtime=0 if turns < 100 else 0.002)


def pass_once(*links: Link) -> None:
    for link in links:
        link.loop(runtime=0)


def connect(listening: DiaryLink, dialling: DiaryLink, **options: Any) -> tuple[str, str]:
    """Connect two links; returns the ids of the connection on both."""
    address = listening.add_listener(LOCALHOST)
    known = len(listening.connected), len(dialling.connected)
    dialling.add_connector(address, **options)
    run_until(
        lambda: len(listening.connected) > known[0] and len(dialling.connected) > known[1],
        listening,
        dialling,
    )
    return listening.connected[-1], dialling.connected[-1]


def wait_for(event: threading.Event) -> None:
    assert event.wait(DEADLINE), "waited in vain"


@contextmanager
def running(*links: Link) -> Iterator[None]:
    """Each link's loop runs in a thread of its own, asleep unless there is something to do."""
    threads = [threading.Thread(target=link.loop, daemon=True) for link in links]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for link in links:
            link.stop()
        for thread in threads:
            thread.join(DEADLINE)
            assert not thread.is_alive(), "the loop did not end"


@contextmanager
def plain_client(address: Any, family: int = socket.AF_INET) -> Iterator[socket.socket]:
    """A blocking socket that is connected there."""
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(DEADLINE)
        sock.connect(address)
        yield sock


@contextmanager
def black_hole(host: str = "127.0.0.1") -> Iterator[tuple[str, int]]:
    """An address that never answers: its backlog is full, so the system ignores who comes."""
    with plain_listener(backlog=0, host=host) as full, socket.socket() as waiting:
        waiting.connect(full.getsockname())
        yield full.getsockname()


@contextmanager
def plain_listener(backlog: int = 16, host: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.settimeout(DEADLINE)
        sock.bind((host, 0))
        sock.listen(backlog)
        yield sock
