"""What the log says of messages that come to nothing."""

from __future__ import annotations

import logging

import pytest
from memory_peers import MakePeer, Peer

from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging, _rate
from snakemq.packeter import Packeter
from snakemq.queues import MemoryQueuesStorage


@pytest.fixture
def alice(network: MemoryNetwork) -> Messaging:
    """Nobody listens to its drops."""
    return Messaging("alice", "", Packeter(network.link("alice")))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_a_message_to_an_absent_peer_leaves_a_line_that_says_what_to_do(
    network: MemoryNetwork, alice: Messaging, caplog: pytest.LogCaptureFixture
) -> None:
    alice.send_message("bob", Message(b"x"))
    network.run_until_idle()
    (line,) = lines(caplog)
    assert "ttl=0 for 'bob', which is not connected" in line
    assert "give messages a ttl" in line
    assert "on_message_drop" in line


def test_there_is_one_line_a_minute_for_a_peer_and_it_counts_the_others(
    network: MemoryNetwork, alice: Messaging, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        alice.send_message("bob", Message(b"x"))
        alice.send_message("carol", Message(b"x"))
    network.run_until_idle()
    assert len(lines(caplog)) == 2
    network.advance(_rate.INTERVAL)
    alice.send_message("bob", Message(b"x"))
    network.run_until_idle()
    assert "dropped 5 messages with ttl=0 for 'bob'" in lines(caplog)[2]


def test_many_absent_peers_do_not_flood_the_log(
    network: MemoryNetwork, alice: Messaging, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3 * _rate.MAX_KEYS):
        alice.send_message(f"peer {number}", Message(b"x"))
    network.run_until_idle()
    assert len(lines(caplog)) == _rate.MAX_KEYS


def test_there_is_no_line_where_somebody_listens(
    network: MemoryNetwork, alice: Messaging, caplog: pytest.LogCaptureFixture
) -> None:
    alice.on_message_drop.add(lambda ident, uuid: None)
    alice.send_message("bob", Message(b"x"))
    network.run_until_idle()
    assert lines(caplog) == []


def test_other_layers_of_ours_do_not_count_as_somebody(
    network: MemoryNetwork, alice: Messaging, caplog: pytest.LogCaptureFixture
) -> None:
    class Inner:
        __module__ = "snakemq.rpc"

        def on_drop(self, ident: str, uuid: bytes) -> None:
            pass

    on_drop = Inner().on_drop
    Inner.on_drop.__module__ = "snakemq.rpc._calls._client"
    alice.on_message_drop.add(on_drop)
    alice.send_message("bob", Message(b"x"))
    network.run_until_idle()
    assert len(lines(caplog)) == 1


def test_there_is_no_line_of_a_message_whose_sender_waits_for_an_answer(
    network: MemoryNetwork, alice: Messaging, caplog: pytest.LogCaptureFixture
) -> None:
    alice.send_message("bob", Message(b"x"), urgent=True)
    network.run_until_idle()
    assert lines(caplog) == []


def test_a_persistent_message_without_a_storage_leaves_one_line(
    network: MemoryNetwork, alice: Messaging, caplog: pytest.LogCaptureFixture
) -> None:
    for urgent in (False, True):
        alice.send_message("bob", Message(b"x", None, FLAG_PERSISTENT), urgent=urgent)
    alice.send_messages("bob", [Message(b"x", None, FLAG_PERSISTENT)])
    (line,) = lines(caplog)
    assert "FLAG_PERSISTENT waits in memory only" in line
    assert "queues_storage" in line


def test_a_persistent_message_leaves_no_line_where_there_is_a_storage(
    network: MemoryNetwork, peer: MakePeer, caplog: pytest.LogCaptureFixture
) -> None:
    keeper: Peer = peer("keeper", MemoryQueuesStorage())
    keeper.send("bob", flags=FLAG_PERSISTENT)
    keeper.send("bob", ttl=None)
    network.run_until_idle()
    assert lines(caplog) == []
