"""A stack of ours that runs in a thread, and writes down what happens to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from snakemq.exceptions import SnakeMQException
from snakemq.link import Address, Link, LinkInterface, SSLConfig
from snakemq.message import Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.queues import InboxStorage, QueuesStorageBase

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which something that has not happened will not happen any more."""

LOOPBACK = ("127.0.0.1", 0)


class Diary:
    """What happened in another thread or process. It wakes those that wait for it."""

    def __init__(self) -> None:
        self._news = threading.Condition()

    def write(self, page: list[T], line: T) -> None:
        with self._news:
            page.append(line)
            self._news.notify_all()

    def until(self, predicate: Callable[[], T | None], timeout: float = PATIENCE) -> T:
        """Wait until ``predicate()`` is true, asked after each entry. Returns its value."""
        deadline = time.monotonic() + timeout
        with self._news:
            while not (value := predicate()):
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise AssertionError(f"not within {timeout:g} s; {self!r}")
                self._news.wait(remaining)
            return value


class LoopThread(Diary):
    """A thread that runs the loop of a link until it is closed."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._thread = threading.Thread(target=link.loop)
        self._thread.start()

    def call(self, func: Callable[[], T]) -> T:
        """Call it in the loop and return what it returns, or raise what it raises."""
        results: list[T] = []
        errors: list[Exception] = []

        def call() -> None:
            try:
                self.write(results, func())
            except Exception as exc:
                self.write(errors, exc)

        self._link.call_from_thread(call)
        self.until(lambda: results or errors)
        if errors:
            raise errors[0]
        return results[0]

    def close(self) -> None:
        self._link.cleanup()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the loop does not end"

    def __enter__(self) -> LoopThread:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Received(NamedTuple):
    """A message that has arrived."""

    ident: str
    data: bytes
    ttl: float | None
    flags: int
    uuid: bytes


class Problem(NamedTuple):
    """What ``on_error`` was told."""

    conn_id: str | None
    error: Exception


class Stack(Diary):
    """Link, packeter and messaging, with a running loop."""

    def __init__(
        self,
        ident: str,
        *,
        storage: QueuesStorageBase | None = None,
        inbox: InboxStorage | None = None,
        dead_letters: QueuesStorageBase | None = None,
        link: Link | None = None,
        over: Callable[[Link], LinkInterface] = lambda link: link,
        max_packet_size: int | None = None,
    ) -> None:
        """``over`` makes the link that the packeter gets, of the one that has the sockets."""
        super().__init__()
        self.ident = ident
        self.link = link or Link()
        limit = {} if max_packet_size is None else {"max_packet_size": max_packet_size}
        self.packeter = Packeter(over(self.link), **limit)
        self.messaging = Messaging(
            ident, "", self.packeter, storage, inbox=inbox, dead_letters=dead_letters
        )
        self.hook = ReceiveHook(self.messaging)

        self.connected: list[str] = []
        self.disconnected: list[str] = []
        self.received: list[Received] = []
        self.sent: list[bytes] = []
        self.dropped: list[bytes] = []
        self.problems: list[Problem] = []

        messaging = self.messaging
        messaging.on_connect.add(lambda conn_id, ident: self.write(self.connected, ident))
        messaging.on_disconnect.add(lambda conn_id, ident: self.write(self.disconnected, ident))
        messaging.on_message_recv.add(self._on_message_recv)
        messaging.on_message_sent.add(lambda conn_id, ident, uuid: self.write(self.sent, uuid))
        messaging.on_message_drop.add(lambda ident, uuid: self.write(self.dropped, uuid))
        messaging.on_error.add(self._on_error)

        self._loop = LoopThread(self.link)

    def close(self) -> None:
        self._loop.close()

    def in_loop(self, func: Callable[[], T]) -> T:
        """Call it in the loop and return what it returns, or raise what it raises."""
        return self._loop.call(func)

    def listen(self, address: Address = LOOPBACK, ssl_config: SSLConfig | None = None) -> Address:
        return self.in_loop(lambda: self.link.add_listener(address, ssl_config))

    def dial(self, address: Address, ssl_config: SSLConfig | None = None) -> Address:
        return self.in_loop(lambda: self.link.add_connector(address, 0.2, ssl_config))

    def send(self, ident: str, data: bytes, ttl: float | None = 60, flags: int = 0) -> bytes:
        return self.messaging.send_message(ident, Message(data, ttl, flags))

    def until_connected(self, ident: str, times: int = 1) -> None:
        self.until(lambda: self.connected.count(ident) >= times)

    def problem(self, kind: type[SnakeMQException]) -> Problem:
        """Wait until ``on_error`` is called with a problem of exactly this kind."""
        return self.until(lambda: next((p for p in self.problems if type(p.error) is kind), None))

    def _on_message_recv(self, conn_id: str, ident: str, message: Message) -> None:
        received = Received(ident, message.data, message.ttl, message.flags, message.uuid)
        self.write(self.received, received)

    def _on_error(self, conn_id: str | None, error: Exception) -> None:
        self.write(self.problems, Problem(conn_id, error))

    def __repr__(self) -> str:
        return (
            f"<Stack {self.ident!r} connected={self.connected} disconnected={self.disconnected}"
            f" received={len(self.received)} sent={len(self.sent)} dropped={len(self.dropped)}"
            f" problems={self.problems[-5:]}>"
        )
