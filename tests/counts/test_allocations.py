"""How many blocks of memory are allocated for each message, on its way in and on its way out.

Those that are freed at once are not seen. What is held by a message and its queue is, and that is
most of them: an object more for each message shows.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import pytest

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

MANY = 2_000


def allocated(func: Callable[[], object]) -> int:
    """Blocks that are still allocated when ``func()`` has returned."""
    gc.collect()
    gc.disable()
    try:
        before = sys.getallocatedblocks()
        func()
        return sys.getallocatedblocks() - before
    finally:
        gc.enable()


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork(at_once=True, capacity=None)


def stack(network: MemoryNetwork, ident: str) -> Messaging:
    return Messaging(ident, "", Packeter(network.link(ident)))


def connect(network: MemoryNetwork, a: Messaging, b: Messaging) -> None:
    network.connect(a.packeter.link, b.packeter.link)  # type: ignore[arg-type]
    network.run_until_idle()


def test_a_message_that_is_sent(network: MemoryNetwork) -> None:
    a, b = stack(network, "a"), stack(network, "b")
    connect(network, a, b)
    data = b"x" * 100  # the same for all: it is the application's

    def send() -> None:
        for _ in range(MANY):
            a.send_message("b", Message(data, 60))

    send()
    network.run_until_idle()
    # The message, its uuid and its ttl. The fake clock has one time for all of them.
    assert allocated(send) / MANY < 3.1


def test_a_message_that_is_received_and_kept(network: MemoryNetwork) -> None:
    a, b = stack(network, "a"), stack(network, "b")
    connect(network, a, b)
    received: list[Message] = []
    b.on_message_recv.add(lambda conn_id, ident, message: received.append(message))
    for _ in range(MANY):
        a.send_message("b", Message(b"x" * 100, 60))
    # The message, its data, its uuid and its ttl; and its sender has three blocks less, because it
    # was acknowledged.
    assert 3 + allocated(network.run_until_idle) / MANY < 4.2
    assert len(received) == MANY
