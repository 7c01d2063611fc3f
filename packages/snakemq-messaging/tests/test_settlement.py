"""The four ways to settle a message: ack, retry, release, reject, and their exceptions."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from memory_peers import MakePeer, Peer

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import DropReason, Reject, Retry

Verb = Callable[[Message], None]


@pytest.fixture
def bob(peer: MakePeer) -> Peer:
    return peer("bob", manual_ack=True, retry_delay=2.0)


class Sent:
    """What a sender learns of its messages."""

    def __init__(self, peer: Peer) -> None:
        self.delivered: list[bytes] = []
        self.dropped: list[tuple[bytes, DropReason, str]] = []
        peer.messaging.on_message_delivered.add(lambda _c, _i, uuid: self.delivered.append(uuid))
        peer.messaging.on_message_dropped.add(
            lambda _i, message, reason, detail: self.dropped.append((message.data, reason, detail))
        )


def last(peer: Peer) -> Message:
    return peer.received[-1][2]


def verbs(peer: Peer) -> dict[str, Verb]:
    messaging = peer.messaging
    return {
        "ack": messaging.ack,
        "retry": messaging.retry,
        "release": messaging.release,
        "reject": messaging.reject,
    }


VERBS = ["ack", "retry", "release", "reject"]


def test_a_retried_message_is_offered_again_after_the_delay(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    sent = Sent(alice)
    alice.connect(bob)
    uuid = alice.send("bob", b"data")
    network.run_until_idle()
    message = last(bob)
    assert message.attempts == 1
    bob.messaging.retry(message, 0.5)
    network.advance(0.4)
    assert bob.heard == [b"data"]
    network.advance(0.2)
    assert bob.heard == [b"data"] * 2
    assert last(bob) is message
    assert (message.attempts, sent.delivered) == (2, [])
    bob.messaging.ack(message)
    network.run_until_idle()
    assert sent.delivered == [uuid]


def test_a_retry_without_a_delay_waits_for_the_retry_delay(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    alice.send("bob", b"data")
    network.run_until_idle()
    bob.messaging.retry(last(bob))
    network.advance(1.9)
    assert len(bob.received) == 1
    network.advance(0.2)
    assert len(bob.received) == 2


def test_messages_behind_a_retried_one_go_on(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    sent = Sent(alice)
    alice.connect(bob)
    uuids = [alice.send("bob", b"1")]
    network.run_until_idle()
    bob.messaging.retry(last(bob), 10)
    uuids.append(alice.send("bob", b"2"))
    network.run_until_idle()
    bob.messaging.ack(last(bob))
    network.run_until_idle()
    assert (bob.heard, sent.delivered) == ([b"1", b"2"], [])
    network.advance(11)
    bob.messaging.ack(last(bob))
    network.run_until_idle()
    assert (bob.heard, sent.delivered) == ([b"1", b"2", b"1"], uuids)


def test_the_last_attempt_that_is_retried_is_rejected(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob, sent = peer("bob", manual_ack=True, max_attempts=3), Sent(alice)
    bob.messaging.on_message_recv.add(lambda _c, _i, message: bob.messaging.retry(message, 1))
    alice.connect(bob)
    alice.send("bob", b"data")
    network.advance(60)
    assert len(bob.received) == 3
    assert sent.dropped == [(b"data", DropReason.REJECTED, "given up after 3 attempts")]
    assert bob.errors == []


def test_a_released_message_is_offered_again_at_once_and_no_attempt_counts(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True, max_attempts=1)
    alice.connect(bob)
    alice.send("bob", b"data")
    network.run_until_idle()
    for _ in range(10):
        bob.messaging.release(last(bob))
        network.run_until_idle()
    assert len(bob.received) == 11
    assert last(bob).attempts == 1


def test_released_messages_come_again_in_the_order_in_which_they_came(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    for n in range(4):
        alice.send("bob", b"%d" % n)
    network.run_until_idle()
    for number in (2, 0, 3):
        bob.messaging.release(bob.received[number][2])
    network.run_until_idle()
    assert bob.heard == [b"0", b"1", b"2", b"3", b"0", b"2", b"3"]


def test_a_message_that_each_callback_releases_does_not_stop_the_loop(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    bob.messaging.on_message_recv.add(
        lambda _c, _i, message: (
            bob.messaging.release(message)
            if message.data == b"again"
            else bob.messaging.ack(message)
        )
    )
    sent = Sent(alice)
    alice.connect(bob)
    alice.send("bob", b"again")
    network.run_passes(50)
    alice.send("bob", b"other")
    network.run_passes(50)
    assert b"other" in bob.heard
    assert sent.delivered == []


def test_a_rejected_message_is_dropped_at_its_sender_with_the_reason(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    sent = Sent(alice)
    rejected: list[tuple[str, str, Message]] = []
    bob.messaging.on_message_reject.add(lambda *args: rejected.append(args))
    _, at_bob = alice.connect(bob)
    uuid = alice.send("bob", b"data")
    network.run_until_idle()
    bob.messaging.reject(last(bob), "no such account")
    network.run_until_idle()
    assert sent.dropped == [(b"data", DropReason.REJECTED, "no such account")]
    assert (sent.delivered, alice.dropped) == ([], [("bob", uuid)])
    assert rejected == [(at_bob, "alice", last(bob))]
    stats = alice.messaging.stats().peers["bob"]
    assert (stats.delivered, stats.dropped) == (0, {DropReason.REJECTED: 1})
    assert bob.messaging.stats().peers["alice"].rejected == 1
    network.advance(60)
    assert bob.heard == [b"data"]


def test_a_rejected_message_among_others_is_the_only_one_that_is_dropped(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    sent = Sent(alice)
    alice.connect(bob)
    uuids = [alice.send("bob", b"%d" % n) for n in range(6)]
    network.run_until_idle()
    messages = [message for _, _, message in bob.received]
    for number in (5, 3, 0, 1, 4, 2):
        if number in (1, 4):
            bob.messaging.reject(messages[number], f"reason {number}")
        else:
            bob.messaging.ack(messages[number])
        network.run_until_idle()
    assert sent.delivered == [uuids[n] for n in (0, 2, 3, 5)]
    assert sent.dropped == [
        (b"1", DropReason.REJECTED, "reason 1"),
        (b"4", DropReason.REJECTED, "reason 4"),
    ]


# -- what callbacks raise


def test_a_callback_that_raises_retry_is_offered_the_message_after_its_delay(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob, sent, verdicts = peer("bob"), Sent(alice), [Retry(5), Retry()]

    def process(*_: object) -> None:
        if verdicts:
            raise verdicts.pop(0)

    bob.messaging.on_message_recv.add(process)
    alice.connect(bob)
    uuid = alice.send("bob", b"data")
    network.run_until_idle()
    times = [(4.9, 1), (0.2, 2), (0.9, 3)]
    for seconds, offers in times:
        network.advance(seconds)
        assert len(bob.received) == offers
    assert (last(bob).attempts, sent.delivered, bob.errors) == (3, [uuid], [])


@pytest.mark.parametrize("manual_ack", [False, True])
def test_a_callback_that_raises_reject_is_not_offered_the_message_again(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, manual_ack: bool
) -> None:
    bob, sent = peer("bob", manual_ack=manual_ack), Sent(alice)

    def process(*_: object) -> None:
        raise Reject("not for me")

    bob.messaging.on_message_recv.add(process)
    alice.connect(bob)
    alice.send("bob", b"data")
    network.advance(60)
    assert len(bob.received) == 1
    assert sent.dropped == [(b"data", DropReason.REJECTED, "not for me")]
    assert bob.errors == []


def raiser(error: Exception) -> Callable[..., None]:
    def process(*_: object) -> None:
        raise error

    return process


@pytest.mark.parametrize("errors", [(Retry(), Reject("no"), ValueError()), (Reject("no"), Retry())])
def test_a_rejection_counts_more_than_what_other_callbacks_raise(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, errors: tuple[Exception, ...]
) -> None:
    bob, sent = peer("bob"), Sent(alice)
    for error in errors:
        bob.messaging.on_message_recv.add(raiser(error))
    alice.connect(bob)
    alice.send("bob", b"data")
    network.advance(60)
    assert sent.dropped == [(b"data", DropReason.REJECTED, "no")]
    others = [error for error in errors if not isinstance(error, (Retry, Reject))]
    assert len(bob.errors) == bool(others)  # in a group, as an event raises several


def test_a_callback_that_raises_after_it_has_settled_changes_nothing(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    def process(conn_id: str, ident: str, message: Message) -> None:
        bob.messaging.ack(message)
        raise Reject("too late")

    bob.messaging.on_message_recv.add(process)
    sent = Sent(alice)
    alice.connect(bob)
    uuid = alice.send("bob", b"data")
    network.advance(60)
    assert (sent.delivered, sent.dropped) == ([uuid], [])


# -- deferred messages


@pytest.mark.parametrize("verb", VERBS)
def test_a_deferred_message_can_be_settled_in_all_ways(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, verb: str
) -> None:
    bob, sent = peer("bob"), Sent(alice)
    deferred: list[Message] = []

    def process(conn_id: str, ident: str, message: Message) -> None:
        if not deferred:
            bob.messaging.defer_ack(message)
            deferred.append(message)

    bob.messaging.on_message_recv.add(process)
    alice.connect(bob)
    uuid = alice.send("bob", b"data")
    network.run_until_idle()
    verbs(bob)[verb](deferred[0])
    network.advance(60)
    offers = 2 if verb in ("retry", "release") else 1
    assert len(bob.received) == offers
    assert sent.delivered == ([] if verb == "reject" else [uuid])


# -- where and when


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_may_come_from_another_thread(
    network: MemoryNetwork, alice: Peer, bob: Peer, verb: str
) -> None:
    alice.connect(bob)
    alice.send("bob", b"data")
    network.run_until_idle()
    worker = threading.Thread(target=verbs(bob)[verb], args=(last(bob),))
    worker.start()
    worker.join()
    network.advance(60)
    assert len(bob.received) == (2 if verb in ("retry", "release") else 1)


@pytest.mark.parametrize("verb", VERBS)
def test_a_message_can_be_settled_after_its_connection_is_gone(
    network: MemoryNetwork, alice: Peer, bob: Peer, verb: str
) -> None:
    sent = Sent(alice)
    at_alice, _ = alice.connect(bob)
    uuid = alice.send("bob", b"data")
    network.run_until_idle()
    network.disconnect(at_alice)
    network.run_until_idle()
    verbs(bob)[verb](last(bob))
    network.advance(60)
    if verb in ("retry", "release"):
        assert [conn_id for conn_id, _, _ in bob.received][1:] == [""]
        bob.messaging.ack(last(bob))
        network.run_until_idle()
    alice.connect(bob)
    network.advance(1)
    assert sent.delivered == ([] if verb == "reject" else [uuid])
    assert len(sent.dropped) == (verb == "reject")


@pytest.mark.parametrize("first", VERBS)
@pytest.mark.parametrize("second", VERBS)
def test_a_message_that_is_settled_cannot_be_settled_again(
    network: MemoryNetwork, alice: Peer, bob: Peer, first: str, second: str
) -> None:
    alice.connect(bob)
    alice.send("bob", b"data")
    network.run_until_idle()
    message = last(bob)
    verbs(bob)[first](message)
    with pytest.raises(ValueError, match="does not wait for an ack"):
        verbs(bob)[second](message)
    network.run_passes(1)
    if first != "release":  # that one has been offered again
        with pytest.raises(ValueError, match="does not wait for an ack"):
            verbs(bob)[second](message)


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_message_cannot_be_settled(bob: Peer, verb: str) -> None:
    with pytest.raises(ValueError, match="does not wait for an ack"):
        verbs(bob)[verb](Message(b"data"))


def test_of_many_threads_that_settle_a_message_one_succeeds(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    alice.send("bob", b"data")
    network.run_until_idle()
    message, refusals = last(bob), []
    barrier = threading.Barrier(8)

    def settle(verb: Verb) -> None:
        barrier.wait()
        try:
            verb(message)
        except ValueError as exc:
            refusals.append(exc)

    threads = [threading.Thread(target=settle, args=(v,)) for v in [*verbs(bob).values()] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refusals) == 7


@pytest.mark.parametrize(("delay", "error"), [(-1, ValueError), ("1", TypeError)])
def test_a_wrong_delay_is_refused(bob: Peer, delay: float, error: type[Exception]) -> None:
    with pytest.raises(error, match="delay must be"):
        bob.messaging.retry(Message(b""), delay)


@pytest.mark.parametrize("delay", [float("inf"), float("nan")])
def test_a_delay_without_end_is_refused(delay: float) -> None:
    with pytest.raises(ValueError, match="delay must be"):
        Retry(delay)


def test_a_reason_that_is_not_text_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a str"):
        Reject(b"bytes")  # type: ignore[arg-type]


# -- what is bounded


def test_a_message_that_waits_to_be_offered_again_counts_as_unprocessed(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True, window_messages=3)
    bob.messaging.on_message_recv.add(lambda _c, _i, message: bob.messaging.retry(message, 3600))
    alice.connect(bob)
    for n in range(10):
        alice.send("bob", b"%d" % n)
    network.advance(60)
    assert bob.heard == [b"0", b"1", b"2"]


@pytest.mark.parametrize("verb", VERBS)
def test_settling_a_forgotten_message_has_no_effect(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, verb: str
) -> None:
    bob = peer("bob", manual_ack=True, max_unprocessed_bytes=1)
    forgotten: list[Message] = []
    bob.messaging.on_message_forgotten.add(lambda _ident, message: forgotten.append(message))
    at_alice, _ = alice.connect(bob)
    alice.send("bob", b"data")
    network.run_until_idle()
    network.disconnect(at_alice)
    carol = peer("carol")
    at_carol, _ = carol.connect(bob)
    carol.send("bob", b"more")
    network.run_until_idle()
    network.disconnect(at_carol)
    network.run_until_idle()
    assert forgotten == [bob.received[0][2]]
    verbs(bob)[verb](forgotten[0])
    network.advance(60)
    assert bob.heard == [b"data", b"more"]


def test_what_waits_for_the_next_attempt_may_be_forgotten(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True, max_unprocessed_bytes=1)
    forgotten: list[Message] = []
    bob.messaging.on_message_forgotten.add(lambda _ident, message: forgotten.append(message))
    at_alice, _ = alice.connect(bob)
    alice.send("bob", b"data")
    network.run_until_idle()
    bob.messaging.retry(last(bob), 30)
    network.disconnect(at_alice)
    carol = peer("carol")
    at_carol, _ = carol.connect(bob)
    carol.send("bob", b"more")
    network.run_until_idle()
    network.disconnect(at_carol)
    network.run_until_idle()
    assert forgotten == [bob.received[0][2]]
    network.advance(60)
    assert bob.heard == [b"data", b"more"]
