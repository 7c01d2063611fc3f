"""Dead letters on real storages: their receiver is killed, connections break, servers go away."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.messaging import DeadLetters, DropReason, Reject
from tests.servers import Server
from tests.support.running_stack import Diary, Stack

from .picky import opened
from .stores import Store, numbers, store_on
from .test_server_gone import AGAIN, IMPATIENT

pytestmark = pytest.mark.server

KILLS = 2

ROUND = 100
"""Messages that are sent to each life of the receiver."""


class Picky(Diary):
    """The process of a receiver that rejects odd numbers."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        command = [sys.executable, "-m", "tests.storages.picky", store.url]
        self._process = subprocess.Popen(
            [*command, json.dumps(store.options)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.processed: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # else it was killed in the middle of it
                self.write(self.processed, line.strip().encode())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def picky(store: Store) -> Iterator[Picky]:
    process = Picky(store)
    try:
        yield process
    finally:
        process.kill()


class Sender(Stack):
    """Notes which of its messages were rejected, and how many were delivered."""

    def __init__(self, ident: str) -> None:
        super().__init__(ident)
        self.rejected: list[bytes] = []
        self.delivered: list[bytes] = []
        self._open: set[str] = set()
        self.messaging.on_connect.add(lambda conn_id, _ident: self._open.add(conn_id))
        self.messaging.on_disconnect.add(lambda conn_id, _ident: self._open.discard(conn_id))
        self.messaging.on_message_dropped.add(self._on_dropped)
        self.messaging.on_message_delivered.add(
            lambda _conn_id, _ident, uuid: self.write(self.delivered, uuid)
        )

    def _on_dropped(self, ident: str, message: Message, reason: DropReason, detail: str) -> None:
        assert reason is DropReason.REJECTED, reason
        self.write(self.rejected, message.data)

    @property
    def settled(self) -> int:
        return len(self.rejected) + len(self.delivered)

    def cut(self) -> None:
        """Break all connections."""
        for conn_id in list(self._open):
            self.link.close(conn_id)


def in_order(texts: list[bytes]) -> list[bytes]:
    return sorted(texts, key=int)


def test_receivers_that_are_killed_lose_no_dead_letter(store: Store) -> None:
    texts = numbers(ROUND * (KILLS + 1))
    even, odd = texts[::2], texts[1::2]
    processed: set[bytes] = set()
    with closing(Sender("alice")) as sender:
        for begin in range(0, len(texts), ROUND):
            with picky(store) as receiver:
                address = sender.dial(("127.0.0.1", receiver.port))
                before = sender.settled
                for text in texts[begin : begin + ROUND]:
                    sender.send("picky", text, None)
                sender.until(lambda: sender.settled >= before + ROUND // 4)  # noqa: B023
                sender.in_loop(sender.cut)
                wanted = before + ROUND // 2 if begin + ROUND < len(texts) else len(texts)
                sender.until(lambda: sender.settled >= wanted)  # noqa: B023
                sender.in_loop(lambda: sender.link.del_connector(address))  # noqa: B023
            processed.update(receiver.processed)
        assert processed == set(even)
        assert in_order(sender.rejected) == odd
    with closing(opened(store.url, store.options)) as storage:
        letters = DeadLetters(storage)
        assert in_order([letter.message.data for letter in letters.list(1000)]) == odd
        letters.requeue(letters.list(1000))
    with picky(store) as receiver:
        receiver.until(lambda: len(receiver.processed) >= ROUND // 2)
    with picky(store) as successor:
        successor.until(lambda: {*receiver.processed, *successor.processed} == set(odd))


def reject(*_: object) -> None:
    raise Reject("odd")


def test_rejections_wait_for_a_server_that_was_killed(server: Server) -> None:
    store = store_on(server)
    store.options |= IMPATIENT.get(type(server), {})
    with closing(store.open()) as storage, closing(Sender("alice")) as alice:
        bob = Stack("bob", dead_letters=storage)
        with closing(bob):
            bob.messaging.on_message_recv.add(reject)
            alice.dial(bob.listen())
            alice.until_connected("bob")
            server.crash()
            for text in numbers(3):
                alice.send("bob", text)
            bob.problem(StorageError)
            assert alice.rejected == []
            server.start()
            alice.until(lambda: len(alice.rejected) == 3, AGAIN)
            letters = bob.messaging.dead_letters
            assert letters is not None
            assert [letter.message.data for letter in letters.list()] == numbers(3)
