"""The storage's clock is written down while it counts the ttl of messages that wait."""

from __future__ import annotations

import pytest
from memory_peers import MakePeer, Peer

from snakemq.exceptions import StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT
from snakemq.queues import MemoryQueuesStorage


class Storage(MemoryQueuesStorage):
    """A pageable one that counts its checkpoints."""

    checkpoints = 0
    fails = False

    def checkpoint_clock(self) -> None:
        self.checkpoints += 1
        if self.fails:
            raise StorageError("the server is away", temporary=True)


@pytest.fixture
def storage(network: MemoryNetwork) -> Storage:
    return Storage(clock=network.clock.time)


@pytest.fixture
def sender(peer: MakePeer, storage: Storage) -> Peer:
    return peer("sender", storage=storage)


def test_clock_is_written_every_ten_seconds_while_a_message_waits(
    network: MemoryNetwork, sender: Peer, storage: Storage
) -> None:
    sender.send("bob", b"", 35, FLAG_PERSISTENT)
    network.advance(31)
    assert storage.checkpoints == 3
    network.advance(100)
    assert storage.checkpoints == 3, "the message has expired"


def test_nothing_is_written_for_messages_without_ttl_or_storage(
    network: MemoryNetwork, sender: Peer, storage: Storage
) -> None:
    sender.send("bob", b"", None, FLAG_PERSISTENT)
    sender.send("carol", b"", 1000)
    network.advance(100)
    assert storage.checkpoints == 0


def test_nothing_is_written_when_the_message_was_delivered(
    network: MemoryNetwork, sender: Peer, bob: Peer, storage: Storage
) -> None:
    sender.connect(bob)
    sender.send("bob", b"", 1000, FLAG_PERSISTENT)
    network.advance(100)
    assert len(bob.heard) == 1
    assert storage.checkpoints == 0


def test_clock_is_written_for_the_backlog_of_an_earlier_process(
    network: MemoryNetwork, sender: Peer, storage: Storage, peer: MakePeer
) -> None:
    sender.send("bob", b"", 1000, FLAG_PERSISTENT)
    network.run_until_idle()
    network.crash(sender.link)
    storage.close()
    successor = Storage(storage, clock=network.clock.time)
    peer("successor", storage=successor)
    network.advance(25)
    assert successor.checkpoints == 2


def test_a_failed_checkpoint_is_reported_and_tried_again(
    network: MemoryNetwork, sender: Peer, storage: Storage
) -> None:
    sender.send("bob", b"", 1000, FLAG_PERSISTENT)
    storage.fails = True
    network.advance(25)
    assert sender.kinds_of_errors == [StorageError] * 2
