"""The time of a network in memory, what it brings, and what happens between peers that are cut."""

import threading
from collections.abc import Iterator

import pytest
from networks import collect, data_of, pair

from snakemq.messaging import Dropped, ReceiptState, Retry
from snakemq.peer import ReceivedMessage
from snakemq.testing import PeerNetwork


@pytest.fixture
def network() -> Iterator[PeerNetwork]:
    with PeerNetwork() as network:
        yield network


def test_time_stands_still_until_somebody_moves_it(network: PeerNetwork) -> None:
    pair(network)
    network.settle()
    assert network.time == 0
    network.advance(2.5)
    network.advance(0)
    assert network.time == 2.5
    with pytest.raises(ValueError, match="-1"):
        network.advance(-1)


def test_message_expires_exactly_after_its_ttl(network: PeerNetwork) -> None:
    alice = network.peer("alice")
    receipt = alice.send("bob", b"hello", ttl=60)
    network.advance(59.5)
    assert receipt.state is ReceiptState.QUEUED
    network.advance(1)
    assert receipt.state is ReceiptState.DROPPED


def test_a_day_passes_between_connected_peers(network: PeerNetwork) -> None:
    alice, _bob = pair(network)
    since = alice.peers()["bob"].since
    network.advance(24 * 3600)
    assert alice.peers()["bob"].since == since


def test_handler_that_raises_gets_the_message_again_later(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    times: list[float] = []

    @bob.on_message
    def fail_twice(message: ReceivedMessage) -> None:
        times.append(network.time)
        if message.attempts < 3:
            raise Retry(10)

    receipt = alice.send("bob", b"hello")
    network.settle()
    assert times == [0]
    network.advance(60)
    assert times == [0, 10, 20]
    assert receipt.state is ReceiptState.DELIVERED


def test_waiting_for_a_receipt_lets_time_pass(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    bob.on_message(lambda message: fail_once(message))

    def fail_once(message: ReceivedMessage) -> None:
        if message.attempts == 1:
            raise Retry(3600)

    alice.send("bob", b"hello").wait()
    assert network.time == 3600


def test_wait_with_a_timeout_takes_no_real_time(network: PeerNetwork) -> None:
    alice = network.peer("alice")
    receipt = alice.send("bob", b"hello")
    with pytest.raises(TimeoutError, match="after 3600 s"):
        receipt.wait(3600)
    assert list(alice.messages(timeout=400)) == []
    with pytest.raises(TimeoutError, match="after 5 s"):
        alice.wait_for("bob", 5)
    assert network.time == 4005
    with pytest.raises(Dropped):
        alice.send("bob", b"hello", ttl=100).wait()
    assert network.time == pytest.approx(4105, abs=1)


def test_wait_that_nothing_ends_is_an_error(network: PeerNetwork) -> None:
    alice, _bob = pair(network)
    with pytest.raises(RuntimeError, match="nothing ends this wait"):
        next(alice.messages())
    with pytest.raises(RuntimeError, match="nothing ends this wait"):
        alice.wait_for("carol")


def test_what_comes_at_the_last_moment_comes_in_time(network: PeerNetwork) -> None:
    """Time-outs come last: whether a thread is fast does not matter."""
    alice, bob = pair(network)

    @bob.on_message
    def answer(message: ReceivedMessage) -> None:
        if message.attempts == 1:
            raise Retry(10)
        message.reply(b"yes")

    alice.send("bob", b"hello")
    assert [message.data for message in alice.messages(timeout=10)] == [b"yes"]
    assert network.time == 20


def test_handlers_follow_each_other_in_time(network: PeerNetwork) -> None:
    """What a handler does at its time happens before anything that is due later."""
    alice, bob = pair(network)
    story: list[tuple[float, str]] = []

    @bob.on_message
    def at_bob(message: ReceivedMessage) -> None:
        if message.attempts == 1:
            raise Retry(float(message.data))
        story.append((network.time, f"bob {message.data.decode()}"))
        message.reply(message.data)

    @alice.on_message
    def at_alice(message: ReceivedMessage) -> None:
        story.append((network.time, f"alice {message.data.decode()}"))

    for seconds in (30, 10, 20):
        alice.send("bob", b"%d" % seconds)
    network.advance(100)
    assert story == [
        (10, "bob 10"),
        (10, "alice 10"),
        (20, "bob 20"),
        (20, "alice 20"),
        (30, "bob 30"),
        (30, "alice 30"),
    ]


# -- peers that are away


def test_peer_that_was_away_gets_what_was_sent_meanwhile(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    received = collect(bob)
    network.cut("alice", "bob")
    assert alice.peers() == bob.peers() == {}
    receipts = [alice.send("bob", b"%d" % number) for number in range(3)]
    network.advance(100)
    assert {receipt.state for receipt in receipts} == {ReceiptState.QUEUED}
    network.heal("alice", "bob")
    network.settle()
    assert received == [b"0", b"1", b"2"]
    assert {receipt.state for receipt in receipts} == {ReceiptState.DELIVERED}
    assert network.time == 100


def test_a_peer_that_was_cut_off_first_is_connected_when_it_is_healed(network: PeerNetwork) -> None:
    alice, _bob = network.peer("alice"), network.peer("bob")
    network.cut("alice", "bob")
    network.connect("alice", "bob")
    with pytest.raises(TimeoutError, match="the network is cut there"):
        alice.wait_for("bob", 10)
    network.heal("bob", "alice")
    assert alice.wait_for("bob", 0).ident == "bob"


def test_others_are_not_cut_off(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    network.peer("carol")
    network.connect("carol", "alice")
    network.cut("alice", "bob")
    network.advance(100)
    assert [*alice.peers()] == ["carol"]
    network.heal("alice", "bob")
    network.heal("alice", "bob")  # again is nothing
    assert [*bob.peers()] == ["alice"]


def test_cable_that_is_pulled_is_noticed_by_the_keepalive(network: PeerNetwork) -> None:
    alice, bob = pair(network, keepalive_interval=30, keepalive_wait=10)
    network.cut("alice", "bob", silently=True)
    receipt = alice.send("bob", b"hello")
    network.advance(20)
    assert receipt.state is ReceiptState.SENT
    assert [*alice.peers()] == ["bob"]
    network.advance(60)
    assert alice.peers() == bob.peers() == {}
    network.heal("alice", "bob")
    assert data_of(bob) == [b"hello"]
    network.settle()
    assert receipt.state is ReceiptState.DELIVERED


def test_peer_that_starts_again_is_still_cut_off(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    network.cut("alice", "bob")
    bob.close()
    bob = network.peer("bob")
    network.advance(100)
    assert alice.peers() == {}
    bob.close()
    network.heal("alice", "bob")
    network.peer("bob")
    network.settle()
    assert [*alice.peers()] == ["bob"]


def test_connection_that_ends_is_made_again_after_a_while(network: PeerNetwork) -> None:
    alice, bob = pair(network)
    ended = threading.Event()
    alice.link.on_disconnect.add(lambda conn_id: ended.set())
    bob.link.call_from_thread(lambda: [bob.link.close(it) for it in bob.link.connections])  # type: ignore[attr-defined]
    network.settle()
    assert ended.is_set()
    assert alice.peers() == {}
    network.advance(1)
    assert [*alice.peers()] == ["bob"]
