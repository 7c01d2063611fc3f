"""Peers that do not read, do not acknowledge, or send more than they may."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from snakemq.exceptions import SnakeMQFlood
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import WINDOW_MESSAGES

from .in_memory import Attacker, MemoryStack, assert_serving, quiet_log
from .stranger import PING, features, message

quiet = pytest.fixture(autouse=True)(quiet_log)

CAPACITY = 1000
ENOUGH = 5_000
"""The most bytes of things not worth keeping that may wait for a peer that does not read."""


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork(capacity=CAPACITY)


@pytest.fixture
def victim(network: MemoryNetwork) -> Iterator[MemoryStack]:
    victim = MemoryStack(network, "victim")
    yield victim
    assert_serving(network, victim)
    assert network.errors == []


@pytest.fixture
def deaf(network: MemoryNetwork, victim: MemoryStack) -> Attacker:
    """It has introduced itself as one of ours, and reads nothing any more."""
    attacker = Attacker(network, victim)
    attacker.introduce("deaf", features())
    attacker.link.pause_reading(attacker.conn_id)
    return attacker


def unsent(victim: MemoryStack, attacker: Attacker) -> int:
    return victim.packeter.get_unsent_size(attacker.conn_id_of_victim)


def test_acks_that_nobody_reads_do_not_pile_up(victim: MemoryStack, deaf: Attacker) -> None:
    """They are made one at a time, so a peer that does not read them runs out of its window."""
    for number in range(20_000):
        deaf.say(message(b"", uuid=number.to_bytes(16, "big")))
    assert victim.disconnected == ["deaf"]
    assert [type(error) for error in victim.errors] == [SnakeMQFlood]
    assert WINDOW_MESSAGES <= len(victim.received) < 2 * WINDOW_MESSAGES


def test_pongs_that_nobody_reads_do_not_pile_up(
    network: MemoryNetwork, victim: MemoryStack, deaf: Attacker
) -> None:
    for _ in range(40):
        network.advance(1)
        deaf.say(*[PING] * 500)
    assert not deaf.closed
    assert unsent(victim, deaf) < ENOUGH


def test_messages_for_a_peer_that_does_not_read_wait_in_the_queue(
    victim: MemoryStack, deaf: Attacker, network: MemoryNetwork
) -> None:
    for _ in range(1000):
        victim.messaging.send_message("deaf", Message(bytes(10_000), 60))
    network.run_until_idle()
    assert unsent(victim, deaf) < 600_000
    network.advance(61)
    assert unsent(victim, deaf) < 600_000


def send_unacked(victim: MemoryStack, attacker: Attacker, count: int, size: int) -> None:
    attacker.introduce("greedy", features())
    for number in range(count):
        attacker.say(message(bytes(size), uuid=number.to_bytes(16, "big")))


@pytest.mark.parametrize(("size", "limit"), [(0, 100), (1000, 50)], ids=["messages", "bytes"])
def test_a_peer_that_sends_more_than_its_window_is_disconnected(
    network: MemoryNetwork, size: int, limit: int
) -> None:
    """Otherwise it could have as much wait here as it likes."""
    victim = MemoryStack(
        network, "victim", manual_ack=True, window_messages=100, window_bytes=50_000
    )
    attacker = Attacker(network, victim)
    send_unacked(victim, attacker, limit, size)
    assert not attacker.closed
    assert victim.errors == []
    attacker.say(message(b"", uuid=b"\xff" * 16))
    assert attacker.closed
    assert len(victim.received) == limit
    assert [type(error) for error in victim.errors] == [SnakeMQFlood]


def test_a_message_whose_callback_raises_counts_too(network: MemoryNetwork) -> None:
    def fail(conn_id: str, ident: str, message: Message) -> None:
        raise RuntimeError("of the application")

    victim = MemoryStack(network, "victim", window_messages=100)
    victim.messaging.on_message_recv.add(fail)
    attacker = Attacker(network, victim)
    send_unacked(victim, attacker, 101, 0)
    assert attacker.closed
    assert type(victim.errors[-1]) is SnakeMQFlood
