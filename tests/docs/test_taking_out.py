"""The table of guarantees.md about messages that are taken out of a queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from snakemq.link.testing import MemoryLink, MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import DropReason, Messaging
from snakemq.packeter import MAX_PACKET_SIZE, Packeter
from snakemq.queues import MemoryQueuesStorage

from .pages import DOCS
from .tables import rows

ROWS = rows((DOCS / "guarantees.md").read_text(), "the message")


class Scene:
    """Alice has a message for bob, somewhere."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.storage = MemoryQueuesStorage(clock=self.network.clock.time)
        self.links: dict[str, MemoryLink] = {}
        self.data = b"x"
        self.heard: list[bytes] = []
        self.bob: Messaging
        self.alice: Messaging
        self.uuid = b""
        self.reports: list[tuple[bytes, DropReason]] = []

    def start(self) -> None:
        self.alice = self._stack("alice", self.storage)
        self.alice.on_message_dropped.add(
            lambda _ident, message, reason, _: self.reports.append((message.uuid, reason))
        )

    def _stack(
        self,
        ident: str,
        storage: MemoryQueuesStorage | None = None,
        max_packet_size: int = MAX_PACKET_SIZE,
    ) -> Messaging:
        link = self.links[ident] = self.network.link(ident)
        packeter = Packeter(link, max_packet_size=max_packet_size)
        return Messaging(ident, "", packeter, storage, manual_ack=True)

    def send(self) -> None:
        message = Message(self.data, ttl=None)
        self.uuid = self.alice.send_message("bob", message)
        self.network.run_until_idle()

    def connect(self, max_packet_size: int = MAX_PACKET_SIZE) -> str:
        self.bob = self._stack("bob", None, max_packet_size)
        self.bob.on_message_recv.add(lambda _conn_id, _ident, m: self.heard.append(m.data))
        at_alice, _ = self.network.connect(self.links["alice"], self.links["bob"])
        self.network.run_until_idle()
        return at_alice

    # -- the rows of the table

    def waits_in_memory(self) -> None:
        self.start()
        self.send()

    def waits_in_the_storage_only(self) -> None:
        message = Message(self.data, None, FLAG_PERSISTENT)
        self.storage.push("bob", message)
        self.uuid = message.uuid
        self.start()

    def is_set_aside_because_it_is_too_large(self) -> None:
        self.data = bytes(1000)
        self.start()
        self.connect(max_packet_size=100)
        self.send()

    def is_on_its_way_in_chunks(self) -> None:
        self.data = bytes(1024 * 1024)
        self.start()
        self.network.stall(self.connect())
        self.send()

    def is_in_flight(self) -> None:
        self.start()
        self.connect()
        self.send()

    def was_in_flight_when_the_connection_broke(self) -> None:
        self.start()
        at_alice = self.connect()
        self.send()
        self.network.disconnect(at_alice)
        self.network.run_until_idle()

    def has_been_delivered_or_dropped(self) -> None:
        self.start()
        self.connect()
        self.bob.on_message_recv.add(lambda _conn_id, _ident, m: self.bob.ack(m))
        self.send()

    def end(self) -> None:
        """Let everything come that may come."""
        if not hasattr(self, "bob"):
            self.connect()
        for conn_id in self.links["alice"].connections:
            self.network.unstall(conn_id)
        self.network.advance(1)


def method(situation: str) -> Callable[[Scene], None]:
    found: Callable[[Scene], None] = getattr(Scene, situation.replace(",", "").replace(" ", "_"))
    return found


@contextmanager
def scene(situation: str) -> Iterator[Scene]:
    made = Scene()
    method(situation)(made)
    yield made
    made.end()


def peer_fares(made: Scene, what: str) -> bool:
    return bool(made.heard) is (what in ("gets it", "may have processed it"))


@pytest.mark.parametrize(("situation", "returned", "drop", "peer"), ROWS)
def test_cancel_does_as_the_page_says(situation: str, returned: str, drop: str, peer: str) -> None:
    with scene(situation) as made:
        is_taken = made.alice.queue("bob").cancel(made.uuid)
    assert f"`{is_taken}`" == returned
    assert made.reports == ([(made.uuid, DropReason.PURGED)] if is_taken else [])
    assert not peer or peer_fares(made, peer)
    assert not made.storage.get_queues()


@pytest.mark.parametrize(("situation", "returned", "drop", "peer"), [row for row in ROWS if row[2]])
def test_drop_queue_does_as_the_page_says(
    situation: str, returned: str, drop: str, peer: str
) -> None:
    with scene(situation) as made:
        purged = made.alice.drop_queue("bob")
    assert purged == ((1, 0) if drop == "dropped" else (0, 1))
    assert made.reports == ([(made.uuid, DropReason.PURGED)] if purged.dropped else [])
    assert peer_fares(made, peer)
    assert not made.storage.get_queues()


def test_every_row_is_made_to_happen() -> None:
    assert len(ROWS) == 7
