"""A signal handler or a finalizer sends, whatever its thread is in the middle of.

It runs between any two steps of its thread, so it must never wait for a lock that this thread has.
These are the locks under ``send_message``::

    lock                                      held                   a handler of the same thread
    ----------------------------------------  ---------------------  -------------------------------
    Occupancy, with queue_limits              while it counts        enters it too; may go beyond a
                                                                     limit by its one message
    QueueTable._forgetting                    by the loop, and by    leaves the message to the loop,
                                              who was overtaken      see QueueTable.revived
    GroupCommit, its books                    for microseconds       needs no books: commits at once
    GroupCommit, the group's bell             by nobody              does not wait for a group
    Turn of a storage                         during a call          pushes between two statements,
                                                                     or leaves it to the call
    Link, its baton (urgent messages)         by the sender          is sent by the loop instead
    Link, waking up                           nothing is held        is told that it is pending
    logging                                   while it writes        enters it too
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from memory_peers import Peer
from watched_storage import WatchedStorage

from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging, QueueLimits
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage
from tests.support.interruptions import at_each_line

Setting = Callable[[], tuple[Callable[[], object], Callable[[], object], Callable[[], object]]]

STORAGES: dict[str, Callable[[MemoryNetwork], MemoryQueuesStorage | None]] = {
    "no storage": lambda network: None,
    "storage": lambda network: MemoryQueuesStorage(),
    "pageable storage": WatchedStorage,
}
LIMITS = {"no limits": None, "limits": QueueLimits(peer_messages=1000)}


@pytest.mark.parametrize("storage", STORAGES.values(), ids=STORAGES)
@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("count", [1, 3])
def test_a_message_that_is_sent_during_a_send_arrives_as_well(
    storage: Callable[[MemoryNetwork], MemoryQueuesStorage | None],
    limits: QueueLimits | None,
    count: int,
) -> None:
    def make() -> tuple[Callable[[], object], Callable[[], object], Callable[[], object]]:
        network = MemoryNetwork()
        kept = storage(network)
        alice = Messaging("alice", "", Packeter(network.link("alice")), kept, queue_limits=limits)
        outer = [Message(b"outer %d" % number, 60, FLAG_PERSISTENT) for number in range(count)]

        def send() -> None:
            if count == 1:
                alice.send_message("bob", outer[0])
            else:
                alice.send_messages("bob", outer)

        def check() -> None:
            everything = sorted([*(message.data for message in outer), b"inner"])
            if kept is not None:
                assert sorted(m.data for m in kept.get_items("bob")) == everything
            bob = Peer(network, "bob")
            network.connect(alice.packeter.link, bob.link)  # type: ignore[arg-type]
            network.advance(1)
            assert sorted(bob.heard) == everything
            assert [data for data in bob.heard if data != b"inner"] == [m.data for m in outer]
            assert kept is None or kept.get_queues() == []
            assert alice.stats().peers["bob"].delivered == count + 1

        inner = Message(b"inner", 60, FLAG_PERSISTENT)
        return send, lambda: alice.send_message("bob", inner), check

    assert len([*at_each_line(make)]) > 10


@pytest.mark.parametrize("storage", STORAGES.values(), ids=STORAGES)
def test_a_message_that_is_sent_while_the_loop_works_arrives(
    storage: Callable[[MemoryNetwork], MemoryQueuesStorage | None],
) -> None:
    """Among other things it expires a message, and forgets the queue that is empty then."""

    def make() -> tuple[Callable[[], object], Callable[[], object], Callable[[], object]]:
        network = MemoryNetwork()
        alice = Messaging("alice", "", Packeter(network.link("alice")), storage(network))
        alice.send_message("bob", Message(b"mortal", 5, FLAG_PERSISTENT))
        network.run_until_idle()
        network.clock.advance(5)

        def check() -> None:
            bob = Peer(network, "bob")
            network.connect(alice.packeter.link, bob.link)  # type: ignore[arg-type]
            network.advance(1)
            assert bob.heard == [b"inner"]

        inner = Message(b"inner", 60, FLAG_PERSISTENT)
        return network.run_until_idle, lambda: alice.send_message("bob", inner), check

    assert len([*at_each_line(make)]) > 50
