"""Messages for peers that never come: their idents may be misspelled."""

from __future__ import annotations

import pytest
from memory_peers import MakePeer, Peer, restart

from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT
from snakemq.messaging._outgoing._never_seen import INTERVAL, MAX_NAMES, PATIENCE
from snakemq.queues import MemoryQueuesStorage


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for text in caplog.messages if "never connected" in text]


def test_stats_name_a_peer_that_was_never_connected(network: MemoryNetwork, alice: Peer) -> None:
    alice.send("bbo", b"x")
    network.run_until_idle()
    assert alice.messaging.stats().never_seen == ["bbo"]


def test_stats_do_not_name_a_peer_that_was_connected(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    at_alice, _ = alice.connect(peer("bob"))
    assert alice.messaging.stats().never_seen == []
    network.disconnect(at_alice)
    alice.send("bob", b"x")
    network.run_until_idle()
    assert alice.messaging.stats().never_seen == []


def test_the_log_names_such_a_peer_once_an_hour(
    network: MemoryNetwork, alice: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    alice.send("bbo", b"x")
    network.advance(PATIENCE - 1)
    assert lines(caplog) == []
    network.advance(1)
    assert len(lines(caplog)) == 1
    assert "'bbo'" in lines(caplog)[0]
    alice.send("another", b"x")
    network.advance(INTERVAL - 1)
    assert len(lines(caplog)) == 1
    network.advance(2)
    assert len(lines(caplog)) == 2
    assert "'another', 'bbo'" in lines(caplog)[1]


def test_the_log_says_nothing_of_a_peer_that_comes_in_time(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, caplog: pytest.LogCaptureFixture
) -> None:
    alice.send("bob", b"x")
    network.advance(PATIENCE / 2)
    alice.connect(peer("bob"))
    network.advance(PATIENCE)
    assert lines(caplog) == []


def test_a_line_names_a_few_peers_and_counts_the_others(
    network: MemoryNetwork, alice: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(MAX_NAMES + 5):
        alice.send(f"peer{number:02}", b"x")
    network.advance(PATIENCE)
    (line,) = lines(caplog)
    assert "'peer09' and 5 more" in line


def test_an_ident_cannot_look_like_a_part_of_the_log(
    network: MemoryNetwork, alice: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    alice.send("bob\nERROR", b"x")
    network.advance(PATIENCE)
    (line,) = lines(caplog)
    assert "\n" not in line


def test_the_log_names_peers_of_a_queue_that_was_found_in_the_storage(
    network: MemoryNetwork, peer: MakePeer, caplog: pytest.LogCaptureFixture
) -> None:
    storage = MemoryQueuesStorage()
    peer("alice", storage, name="first").send("bbo", b"x", flags=FLAG_PERSISTENT)
    peer("alice", restart(storage))
    network.advance(PATIENCE)
    assert any("'bbo'" in line for line in lines(caplog))
