"""A callback puts off the acknowledgement of one message until somebody has worked on it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from memory_peers import VERSION, MakePeer, MakeRawPeer, Peer, features, identification
from memory_peers import message as message_frame

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.queues import MemoryQueuesStorage

Log = list[bytes]


def delivered_to(peer: Peer) -> Log:
    told: Log = []
    peer.messaging.on_message_delivered.add(lambda _c, _i, uuid: told.append(uuid))
    return told


def defer(peer: Peer, wanted: Callable[[Message], bool] = lambda _: True) -> list[Message]:
    """Have a peer defer the acks of some messages. Returns those that it has deferred."""
    deferred: list[Message] = []

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        if wanted(message):
            peer.messaging.defer_ack(message)
            deferred.append(message)

    peer.messaging.on_message_recv.add(on_message_recv)
    return deferred


def test_a_deferred_message_is_delivered_when_it_is_acknowledged(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    deferred, delivered = defer(bob), delivered_to(alice)
    alice.connect(bob)
    uuid = alice.send("bob", b"data")
    network.advance(3600)
    assert delivered == []
    bob.messaging.ack(deferred[0])
    network.run_until_idle()
    assert delivered == [uuid]


def test_others_are_acknowledged_as_usual_up_to_the_first_deferred_one(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    deferred = defer(bob, lambda message: message.data == b"2")
    delivered = delivered_to(alice)
    alice.connect(bob)
    uuids = [alice.send("bob", b"%d" % n) for n in range(5)]
    network.run_until_idle()
    assert delivered == uuids[:2]
    bob.messaging.ack(deferred[0])
    network.run_until_idle()
    assert delivered == uuids


def test_a_worker_may_be_done_before_the_callback_returns(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        bob.messaging.defer_ack(message)
        worker = threading.Thread(target=bob.messaging.ack, args=(message,))
        worker.start()
        worker.join()

    bob.messaging.on_message_recv.add(on_message_recv)
    delivered = delivered_to(alice)
    alice.connect(bob)
    uuids = [alice.send("bob", b"%d" % n) for n in range(5)]
    network.run_until_idle()
    assert delivered == uuids


def test_a_deferred_message_that_comes_again_is_not_offered_again(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    deferred, delivered = defer(bob), delivered_to(alice)
    at_alice, _ = alice.connect(bob)
    uuid = alice.send("bob", b"data")
    network.run_until_idle()
    network.disconnect(at_alice)
    network.run_until_idle()
    alice.connect(bob)
    assert bob.heard == [b"data"]
    bob.messaging.ack(deferred[0])
    network.run_until_idle()
    assert delivered == [uuid]


def test_what_nobody_has_acknowledged_goes_to_the_next_process(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer
) -> None:
    inbox = MemoryQueuesStorage()
    bob = peer("bob", inbox=inbox, name="bob 1")
    deferred = defer(bob)
    alice.connect(bob)
    for n in range(3):
        alice.send("bob", b"%d" % n)
    network.run_until_idle()
    bob.messaging.ack(deferred[1])
    network.run_until_idle()
    network.crash(bob.link)
    network.run_until_idle()
    successor = peer("bob", inbox=MemoryQueuesStorage(inbox), name="bob 2")
    alice.connect(successor)
    assert successor.heard == [b"0", b"2"]


def test_a_callback_that_raises_after_it_is_offered_the_message_again(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    deferred, delivered = defer(bob), delivered_to(alice)
    failures = [ValueError("once")]

    def fail_once(*_: object) -> None:
        if failures:
            raise failures.pop()

    bob.messaging.on_message_recv.add(fail_once)
    alice.connect(bob)
    uuid = alice.send("bob", b"data")
    network.advance(60)
    assert deferred[0] is deferred[1]
    assert delivered == []
    bob.messaging.ack(deferred[1])
    network.run_until_idle()
    assert delivered == [uuid]


def test_a_second_offer_that_nobody_defers_is_processed_when_it_returns(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    offers: Log = []

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        offers.append(message.data)
        if len(offers) == 1:
            bob.messaging.defer_ack(message)
            raise ValueError("after that")

    bob.messaging.on_message_recv.add(on_message_recv)
    delivered = delivered_to(alice)
    alice.connect(bob)
    uuid = alice.send("bob", b"data")
    network.advance(60)
    assert (offers, delivered) == ([b"data"] * 2, [uuid])


def test_an_ack_ends_the_offers_of_a_message_whose_callback_has_raised(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        bob.messaging.defer_ack(message)
        bob.messaging.ack(message)
        raise ValueError("after that")

    bob.messaging.on_message_recv.add(on_message_recv)
    delivered = delivered_to(alice)
    alice.connect(bob)
    uuid = alice.send("bob", b"data")
    network.advance(60)
    assert (bob.heard, delivered) == ([b"data"], [uuid])


def test_nonsense_stays_nonsense_after_it_was_deferred(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        bob.messaging.defer_ack(message)
        raise SnakeMQBrokenMessage("nonsense")

    bob.messaging.on_message_recv.add(on_message_recv)
    alice.connect(bob)
    alice.send("bob", b"data")
    network.run_until_idle()
    alice.connect(bob)
    network.advance(60)
    assert bob.heard == [b"data"]


def test_a_callback_may_close_the_connection_before_and_after(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    deferred: list[Message] = []

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        if message.data == b"before":
            bob.link.close(conn_id)
        bob.messaging.defer_ack(message)
        deferred.append(message)
        if message.data == b"after":
            bob.link.close(conn_id)

    bob.messaging.on_message_recv.add(on_message_recv)
    delivered = delivered_to(alice)
    uuids: Log = []
    for data in (b"before", b"after"):
        alice.connect(bob)
        uuids.append(alice.send("bob", data))
        network.run_until_idle()
    alice.connect(bob)
    assert bob.heard == [b"before", b"after"]
    for message in deferred:
        bob.messaging.ack(message)
    network.run_until_idle()
    assert delivered == uuids


def test_a_1_6_peer_and_ttl_0_have_nothing_to_acknowledge(
    network: MemoryNetwork, alice: Peer, bob: Peer, raw: MakeRawPeer
) -> None:
    deferred = defer(bob)
    raw().join(bob, "old", message_frame(b"from 1.6"))
    alice.connect(bob)
    alice.send("bob", b"with ttl 0", ttl=0)
    network.run_until_idle()
    for message in deferred:
        bob.messaging.ack(message)
    network.run_until_idle()
    assert bob.heard == [b"from 1.6", b"with ttl 0"]
    assert bob.errors == []


def test_deferred_messages_take_their_place_in_the_window(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", window_messages=10)
    deferred = defer(bob)
    alice.connect(bob)
    for n in range(30):
        alice.send("bob", b"%d" % n)
    network.advance(60)
    assert len(bob.heard) == 10
    while deferred:
        bob.messaging.ack(deferred.pop(0))
        network.run_until_idle()
    assert len(bob.heard) == 30
    assert bob.errors == []


# -- what is refused


def test_only_the_message_that_is_offered_can_be_deferred(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    refused: list[str] = []

    def defer_the_first(conn_id: str, ident: str, message: Message) -> None:
        try:
            bob.messaging.defer_ack(bob.received[0][2])
        except ValueError as exc:
            refused.append(str(exc))

    bob.messaging.on_message_recv.add(defer_the_first)
    alice.connect(bob)
    for n in range(2):
        alice.send("bob", b"%d" % n)
    network.run_until_idle()
    assert len(refused) == 1
    with pytest.raises(ValueError, match="defer its ack in the callback"):
        bob.messaging.defer_ack(bob.received[1][2])


def test_a_second_deferral_in_the_same_callbacks_changes_nothing(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    deferred, delivered = defer(bob), delivered_to(alice)
    defer(bob)
    alice.connect(bob)
    uuid = alice.send("bob", b"data")
    network.run_until_idle()
    bob.messaging.ack(deferred[0])
    network.run_until_idle()
    assert delivered == [uuid]
    with pytest.raises(ValueError, match="does not wait for an ack"):
        bob.messaging.ack(deferred[0])


def test_with_manual_ack_everything_is_deferred_already(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True)
    deferred, delivered = defer(bob), delivered_to(alice)
    alice.connect(bob)
    uuid = alice.send("bob", b"data")
    network.run_until_idle()
    assert delivered == []
    bob.messaging.ack(deferred[0])
    network.run_until_idle()
    assert delivered == [uuid]


def test_an_inbox_that_is_forgotten_while_its_last_message_is_deferred(
    network: MemoryNetwork, bob: Peer, raw: MakeRawPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The callback closes the connection, so that the peer is absent when it defers."""
    monkeypatch.setattr("snakemq.messaging._incoming._inboxes.MAX_ABSENT_INBOXES", 0)
    deferred: list[Message] = []

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        bob.link.close(conn_id)
        bob.messaging.defer_ack(message)
        deferred.append(message)

    bob.messaging.on_message_recv.add(on_message_recv)
    stranger = raw()
    stranger.connect(bob)
    stranger.say(VERSION, features(bits=1), identification("stranger"), message_frame(b"data"))
    bob.messaging.ack(deferred[0])
    network.run_until_idle()
    assert bob.errors == []


def test_a_message_that_is_offered_while_no_loop_runs_can_be_deferred(
    alice: Peer, raw: MakeRawPeer
) -> None:
    deferred = defer(alice)
    owner = raw("owner").join(alice, "bob")
    raw("challenger").join(alice, "bob", message_frame(b"held until the ident is free"))
    alice.link.close(owner)
    assert alice.errors == []
    (message,) = deferred
    alice.messaging.ack(message)
