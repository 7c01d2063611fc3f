"""The whole stack on top of a throttle: as fast as was said, under a fake clock."""

from __future__ import annotations

import pytest

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.throttle import Throttle

SECONDS = 5.0


@pytest.mark.parametrize("speed", [500, 10_000, 300_000, 10_000_000])
def test_messages_go_at_the_speed_of_the_throttle(speed: int) -> None:
    network = MemoryNetwork()
    links = network.link("alice"), network.link("bob")
    throttled = Messaging("alice", "", Packeter(Throttle(links[0], speed)))
    bob = Messaging("bob", "", Packeter(links[1]))
    arrived = 0
    messages: list[int] = []

    def on_recv(conn_id: str, data: bytes) -> None:
        nonlocal arrived
        arrived += len(data)

    links[1].on_recv.add(on_recv)
    bob.on_message_recv.add(lambda conn_id, ident, message: messages.append(message.data[0]))
    size = max(20, speed // 50)
    count = int(SECONDS * 1.3 * speed / size)
    for number in range(count):
        throttled.send_message("bob", Message(bytes([number % 256]) * size, ttl=3600))
    network.connect(*links)
    network.advance(SECONDS)
    assert arrived == pytest.approx(SECONDS * speed, rel=0.15)
    assert messages == [number % 256 for number in range(len(messages))]

    network.run_until(lambda: len(messages) == count)  # and in the end all of them
    assert not network.errors


def test_both_sides_are_throttled_and_answer_each_other() -> None:
    network = MemoryNetwork()
    links = {name: network.link(name) for name in ("alice", "bob")}
    peers = {
        name: Messaging(name, "", Packeter(Throttle(link, 2000))) for name, link in links.items()
    }
    answers: list[bytes] = []
    peers["bob"].on_message_recv.add(
        lambda conn_id, ident, message: peers["bob"].send_message(
            ident, Message(message.data.upper(), ttl=60)
        )
    )
    peers["alice"].on_message_recv.add(lambda conn_id, ident, message: answers.append(message.data))
    for number in range(20):
        peers["alice"].send_message("bob", Message(b"question %d" % number, ttl=60))
    network.connect(*links.values())
    network.run_until(lambda: len(answers) == 20)
    assert answers == [b"QUESTION %d" % number for number in range(20)]
    assert not network.errors
