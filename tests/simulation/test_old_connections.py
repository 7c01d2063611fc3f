"""Connections from the past: what is remembered of those that came after them, and what is not."""

from __future__ import annotations

from snakemq.link.testing import MemoryLink, MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage

EVERYTHING = [b"0", b"1", b"2", b"3", b"4", b"5"]


class Receiver:
    """Remembers two messages, so that repeating six of them would be seen."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.link = network.link("receiver")
        self.received: list[bytes] = []
        messaging = Messaging("receiver", "", Packeter(self.link), window_messages=1)
        messaging.on_message_recv.add(
            lambda _conn_id, _ident, message: self.received.append(message.data)
        )


class Sender:
    """One process of the sender."""

    def __init__(
        self, network: MemoryNetwork, name: str, predecessor: MemoryQueuesStorage | None = None
    ) -> None:
        self.link: MemoryLink = network.link(name)
        self.storage = MemoryQueuesStorage(predecessor)
        self.messaging = Messaging("sender", "", Packeter(self.link), self.storage)

    def send(self, number: int) -> None:
        message = Message(b"%d" % number, ttl=None, flags=FLAG_PERSISTENT)
        self.messaging.send_message("receiver", message)


def connect_slowly(network: MemoryNetwork, sender: Sender, receiver: Receiver) -> tuple[str, str]:
    """The connection is made, and what is sent over it is not read for now."""
    here, there = network.connect(sender.link, receiver.link)
    while there not in receiver.link.connections:
        network.run_passes(1)
    receiver.link.pause_reading(there)
    sender.send(0)
    network.run_until_idle()
    return here, there


def test_messages_of_a_connection_that_its_peer_gave_up_do_not_come() -> None:
    """The first connection is slow to arrive, its peer makes a second one and then is killed."""
    network = MemoryNetwork()
    receiver, sender = Receiver(network), Sender(network, "sender")
    first, first_there = connect_slowly(network, sender, receiver)
    sender.link.close(first)
    network.connect(sender.link, receiver.link)
    for number in range(1, 6):
        sender.send(number)
    network.run_until_idle()
    assert receiver.received == EVERYTHING
    network.crash(sender.link)
    network.run_until_idle()
    receiver.link.resume_reading(first_there)
    network.advance(60)
    assert receiver.received == EVERYTHING


def test_messages_of_a_process_that_has_died_since_do_not_come() -> None:
    network = MemoryNetwork()
    receiver, sender = Receiver(network), Sender(network, "sender")
    _, first_there = connect_slowly(network, sender, receiver)
    network.crash(sender.link)
    successor = Sender(network, "successor", sender.storage)
    network.connect(successor.link, receiver.link)
    for number in range(1, 6):
        successor.send(number)
    network.run_until_idle()
    assert receiver.received == EVERYTHING
    network.crash(successor.link)
    network.run_until_idle()
    receiver.link.resume_reading(first_there)
    network.advance(60)
    assert receiver.received == EVERYTHING


def test_a_restarted_peer_is_not_from_the_past() -> None:
    network = MemoryNetwork()
    receiver, sender = Receiver(network), Sender(network, "sender")
    network.connect(sender.link, receiver.link)
    for number in range(3):
        sender.send(number)
    network.run_until_idle()
    network.crash(sender.link)
    successor = Sender(network, "successor", sender.storage)
    for _ in range(3):
        conn_id, _ = network.connect(successor.link, receiver.link)
        network.run_until_idle()
        successor.link.close(conn_id)
        network.run_until_idle()
    network.connect(successor.link, receiver.link)
    for number in range(3, 6):
        successor.send(number)
    network.run_until_idle()
    assert receiver.received == EVERYTHING


def test_a_last_connection_of_a_dead_process_looks_like_any_other() -> None:
    """What cannot be told apart, as ``docs/guarantees.md`` says: its process is unknown here, and
    only an answer could show that nobody is there."""
    network = MemoryNetwork()
    receiver, sender = Receiver(network), Sender(network, "sender")
    relay = network.link("relay")
    taken: list[bytes] = []
    relay.on_recv.add(lambda _conn_id, data: taken.append(data))
    _, at_relay = network.connect(sender.link, relay)
    network.run_until_idle()
    # What the receiver would say, so that the sender begins with its messages.
    introduction = bytes.fromhex(
        "00000005 00 00000001"
        "0000001b 10 0001 00000001 bbbbbbbbbbbbbbbb 00000001 01000000 40000000"
        "00000009 02" + b"receiver".hex()
    )
    sender.send(0)
    relay.send(at_relay, introduction)
    network.run_until_idle()
    network.crash(sender.link)
    successor = Sender(network, "successor", sender.storage)
    network.connect(successor.link, receiver.link)
    for number in range(1, 6):
        successor.send(number)
    network.run_until_idle()
    network.crash(successor.link)
    network.run_until_idle()
    late, _ = network.connect(relay, receiver.link)
    network.run_until_idle()
    relay.send(late, b"".join(taken))
    network.run_until_idle()
    assert receiver.received == [*EVERYTHING, b"0"]
