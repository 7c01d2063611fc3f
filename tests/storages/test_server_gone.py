"""The server of the sender's storage is killed, and comes back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import FLAG_PERSISTENT
from tests.servers import MariaDb, MongoDb, Server
from tests.support.running_stack import Stack

from .stores import Durable, MakeStack, Store, heard, numbers, persistent, store_on

pytestmark = pytest.mark.server

MakeDurable = Callable[[str, Store], Durable]

IMPATIENT: dict[type[Server], dict[str, Any]] = {
    MariaDb: {"answer_timeout": 1, "connect_args": {"connect_timeout": 1, "read_timeout": 1}},
    MongoDb: {"socketTimeoutMS": 1000, "connectTimeoutMS": 1000},
}
"""Options for a server that does not answer. On a busy machine a healthy one takes 0.3 s."""

AGAIN = 30.0
"""Seconds within which a server that is back must be in use again; it takes far less."""


def is_refused(alice: Durable, *texts: bytes) -> bool:
    """Check that pushes fail; time-outs make sure that they return at all."""
    for send in (
        lambda: alice.messaging.send_messages("bob", persistent(*texts)),
        lambda: alice.messaging.send_message("bob", persistent(*texts)[0]),
    ):
        with pytest.raises(StorageError) as caught:
            send()
        assert caught.value.temporary
    return True


def test_backlog_is_delivered_in_order_when_the_server_is_back(
    server: Server,
    durable: MakeDurable,
    make_stack: MakeStack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server is killed while the peer is away."""
    alice = durable("alice", store_on(server))
    bob, carol = make_stack("bob"), make_stack("carol")
    address = alice.listen()
    for text in numbers(100):
        alice.send("bob", text, None, FLAG_PERSISTENT)
    alice.messaging.send_messages("bob", persistent(*numbers(100, 100)))
    alice.in_loop(lambda: None)
    server.crash()
    assert is_refused(alice, b"lost", b"lost as well")

    # What is in memory is delivered; then the queue needs a page.
    with caplog.at_level(logging.ERROR, "snakemq.messaging"):
        bob.dial(address)
        assert alice.problem(StorageError).conn_id is None
        bob.until(lambda: len(bob.received) >= 20)
    assert "the storage failed" in caplog.text

    # The loop lives: it serves other peers, and the other direction.
    carol.dial(address)
    alice.until_connected("carol")
    for text in numbers(50):
        alice.send("carol", text)
        bob.send("alice", text)
    carol.until(lambda: len(carol.received) == 50, AGAIN)
    alice.until(lambda: len(alice.received) == 50, AGAIN)
    assert heard(carol) == heard(alice) == numbers(50)
    assert heard(bob) == numbers(20)
    assert is_refused(alice, b"lost")

    server.start()
    alice.messaging.send_messages("bob", persistent(*numbers(20, 200)))  # it works at once
    bob.until(lambda: len(bob.received) >= 220, AGAIN)
    assert alice.left(len(bob.received)) == []
    assert heard(bob) == numbers(220)
    assert len(alice.connected) == 2
    assert alice.disconnected == alice.dropped == bob.problems == carol.problems == []


class Writer:
    """A thread that sends; after a refusal it waits until the server is back, then goes on."""

    def __init__(self, alice: Durable) -> None:
        self.alice = alice
        self.accepted: list[bytes] = []
        self.refused: list[bytes] = []
        self.is_back = threading.Event()
        self.is_done = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        number = 0
        while not self.is_done.is_set():
            text = b"%d" % number
            number += 1
            try:
                self.alice.send("bob", text, None, FLAG_PERSISTENT)
            except StorageError:
                self.is_back.clear()
                self.alice.write(self.refused, text)
                self.is_back.wait()
            else:
                self.alice.write(self.accepted, text)

    def close(self) -> None:
        self.is_done.set()
        self.is_back.set()
        self.thread.join()


def test_a_server_killed_under_load_loses_and_repeats_nothing(
    server: Server, durable: MakeDurable, make_stack: MakeStack
) -> None:
    store = store_on(server)
    alice, bob = durable("alice", store), make_stack("bob")
    bob.dial(alice.listen())
    writer = Writer(alice)
    try:
        for crash in (1, 2):
            count = len(bob.received)
            bob.until(lambda count=count: len(bob.received) >= count + 100)  # type: ignore[misc]
            server.crash()
            alice.until(lambda crash=crash: len(writer.refused) == crash)  # type: ignore[misc]
            server.start()
            writer.is_back.set()
            accepted = len(writer.accepted)
            alice.until(
                lambda accepted=accepted: len(writer.accepted) > accepted  # type: ignore[misc]
            )
    finally:
        writer.close()
    bob.until(lambda: len(bob.received) >= len(writer.accepted), AGAIN)
    assert heard(bob) == writer.accepted
    assert len(writer.refused) == 2
    assert alice.dropped == alice.disconnected == bob.problems == []
    # A crash of the server may undo deletions. What is left was delivered, and is sent again when
    # alice starts anew; bob recognises it.
    assert set(alice.left(len(writer.accepted))) <= set(writer.accepted)
    alice.close()
    alice = durable("alice", store)
    alice.send("bob", b"last", None, FLAG_PERSISTENT)
    bob.dial(alice.listen())
    bob.until(lambda: b"last" in heard(bob))
    assert heard(bob) == [*writer.accepted, b"last"]
    assert alice.left(1) == []


def test_messages_delivered_without_the_server_are_deleted_with_it(
    server: Server, durable: MakeDurable, make_stack: MakeStack
) -> None:
    alice, bob = durable("alice", store_on(server)), make_stack("bob")
    address = alice.listen()
    for text in numbers(10):
        alice.send("bob", text, None, FLAG_PERSISTENT)
    server.crash()
    bob.dial(address)
    bob.until(lambda: len(bob.received) == 10)
    alice.problem(StorageError)
    server.start()
    assert alice.in_loop(alice.storage.get_queues) in (["bob"], [])
    assert alice.left(len(bob.received)) == []
    assert heard(bob) == numbers(10)


def test_transient_messages_to_the_same_peer_go_on(
    server: Server, durable: MakeDurable, make_stack: MakeStack
) -> None:
    """Messages go on to a peer that has none in the storage."""
    alice, bob = durable("alice", store_on(server)), make_stack("bob")
    bob.dial(alice.listen())
    alice.until_connected("bob")
    alice.send("bob", b"before", None, FLAG_PERSISTENT)
    bob.until(lambda: bob.received)
    server.crash()
    sent: list[bytes] = []

    def send() -> bool:
        text = b"%d" % len(sent)
        alice.send("bob", text)
        sent.append(text)
        bob.until(lambda: len(bob.received) == 1 + len(sent))
        return len(sent) >= 50 and is_refused(alice, b"lost")

    while not send():
        pass
    assert heard(bob) == [b"before", *sent]
    server.start()


@pytest.mark.parametrize("server", [MariaDb, MongoDb], indirect=True, ids=lambda kind: kind.name)
def test_a_silent_server_costs_time_and_nothing_else(
    server: Server, durable: MakeDurable, make_stack: MakeStack
) -> None:
    store = store_on(server)
    store.options |= IMPATIENT[type(server)]
    alice = durable("alice", store)
    bob, carol = make_stack("bob"), make_stack("carol")
    address = alice.listen()
    for text in numbers(100):
        alice.send("bob", text, None, FLAG_PERSISTENT)
    alice.in_loop(lambda: None)
    server.suspend()
    try:
        assert is_refused(alice, b"lost")
        bob.dial(address)
        alice.problem(StorageError)
        carol.dial(address)
        alice.until_connected("carol", 1)
        alice.send("carol", b"transient")
        carol.until(lambda: carol.received, AGAIN)
        bob.until(lambda: len(bob.received) == 20, AGAIN)
    finally:
        server.resume()
    bob.until(lambda: len(bob.received) >= 100, AGAIN)
    assert alice.left(100) == []
    assert heard(bob) == numbers(100)
    assert alice.disconnected == alice.dropped == []


def test_opening_while_the_server_is_away_is_a_temporary_failure(
    server: Server, make_stack: Callable[[str], Stack]
) -> None:
    store = store_on(server)
    store.open().close()
    server.crash()
    with pytest.raises(StorageError) as caught:
        store.open()
    assert caught.value.temporary
