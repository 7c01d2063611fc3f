"""What is rejected is stored before it is acknowledged, and can be requeued and purged."""

from __future__ import annotations

import pytest
from memory_peers import MakePeer, Peer
from watched_storage import WatchedStorage

from snakemq.exceptions import SnakeMQBrokenFormat, SnakeMQMessageTooLarge, StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import DeadLetters, DropReason, Reject
from snakemq.messaging._patience import FIRST_DELAY, MAX_DELAY
from snakemq.queues import MemoryQueuesStorage


class Judge:
    """A callback that rejects messages with certain data, and takes note of the others."""

    def __init__(self, peer: Peer, *rejected: bytes) -> None:
        self.rejected = set(rejected)
        self.processed: list[bytes] = []
        peer.messaging.on_message_recv.add(self._on_message_recv)

    def _on_message_recv(self, conn_id: str, ident: str, message: Message) -> None:
        if message.data in self.rejected:
            raise Reject("no such account")
        self.processed.append(message.data)


@pytest.fixture
def storage(network: MemoryNetwork) -> WatchedStorage:
    return WatchedStorage(network)


@pytest.fixture
def bob(peer: MakePeer, storage: WatchedStorage) -> Peer:
    return peer("bob", dead_letters=storage, max_attempts=2)


def letters_of(peer: Peer) -> DeadLetters:
    letters = peer.messaging.dead_letters
    assert letters is not None
    return letters


def restarted(network: MemoryNetwork, bob: Peer, peer: MakePeer, storage: WatchedStorage) -> Peer:
    """The next process, with what the last one has stored."""
    if not bob.link.gone:
        network.crash(bob.link)
    network.run_until_idle()
    return peer("bob", dead_letters=storage.restarted(), name="bob again")


def reject_some(network: MemoryNetwork, alice: Peer, bob: Peer, *texts: bytes) -> Judge:
    judge = Judge(bob, *texts)
    alice.connect(bob)
    for text in texts:
        alice.send("bob", text)
    network.run_until_idle()
    return judge


# -- what is kept


def test_a_rejected_message_is_kept_with_all_that_is_known(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    Judge(bob, b"bad\n\x00")
    alice.connect(bob)
    uuid = alice.send("bob", b"bad\n\x00", ttl=60, flags=FLAG_PERSISTENT | 0x80)
    network.run_until_idle()
    (letter,) = letters_of(bob).list()
    assert (letter.sender, letter.reason, letter.attempts) == ("alice", "no such account", 1)
    message = letter.message
    assert (message.uuid, message.data, message.ttl, message.flags) == (
        *(uuid, b"bad\n\x00", 60, FLAG_PERSISTENT | 0x80),
    )
    assert letter.time > 1_600_000_000
    assert (letter.requeued, letter.origin_uuid) == (0, b"")
    assert letters_of(bob).counts() == {"alice": 1}


def test_what_callbacks_have_raised_too_often_is_kept_with_the_error(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("the account is locked" + "x" * 2000)

    bob.messaging.on_message_recv.add(fail)
    alice.connect(bob)
    alice.send("bob", b"data")
    network.advance(60)
    (letter,) = letters_of(bob).list()
    assert letter.reason.startswith("given up after 2 attempts: ValueError: the account is locked")
    assert (len(letter.reason), letter.attempts) == (1000, 2)


def test_a_rejection_is_acknowledged_after_it_was_stored(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    told: list[str] = []
    storage.failing.add("push")
    bob.messaging.on_message_reject.add(lambda *_: told.append("rejected"))
    alice.messaging.on_message_dropped.add(lambda _i, _m, _reason, detail: told.append(detail))
    reject_some(network, alice, bob, b"bad")
    network.advance(60)
    assert (told, alice.dropped) == ([], [])
    assert alice.messaging.stats().peers["bob"].in_flight == 1
    assert set(bob.kinds_of_errors) == {StorageError}
    waits = [b - a for a, b in zip(storage.times("push"), storage.times("push")[1:], strict=False)]
    assert waits[0] == pytest.approx(FIRST_DELAY)
    assert max(waits) == pytest.approx(MAX_DELAY)
    storage.failing.clear()
    network.advance(MAX_DELAY + 1)
    assert told == ["rejected", "no such account"]
    assert letters_of(bob).counts() == {"alice": 1}


def test_messages_behind_one_that_cannot_be_stored_go_on(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    storage.failing.add("push")
    judge = reject_some(network, alice, bob, b"bad")
    alice.send("bob", b"good")
    network.advance(1)
    assert judge.processed == [b"good"]


def test_many_rejections_are_stored_in_their_order(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer, storage: WatchedStorage
) -> None:
    carol = peer("carol")
    carol.connect(bob)
    storage.failing.add("push")
    reject_some(network, alice, bob, b"1", b"2", b"3")
    carol.send("bob", b"2")
    network.advance(2)
    storage.failing.clear()
    network.advance(MAX_DELAY)
    letters = letters_of(bob)
    assert [letter.message.data for letter in letters.list(sender="alice")] == [b"1", b"2", b"3"]
    assert letters.counts() == {"alice": 3, "carol": 1}
    assert len(alice.dropped) == 3


def test_a_dead_letter_that_can_never_be_stored_does_not_block_the_window(
    network: MemoryNetwork,
    alice: Peer,
    bob: Peer,
    storage: WatchedStorage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(name: str, item: Message) -> int:
        raise SnakeMQMessageTooLarge("a document has at most 16 MiB")

    monkeypatch.setattr(storage, "push", refuse)
    rejected: list[Message] = []
    bob.messaging.on_message_reject.add(lambda _c, _i, message: rejected.append(message))
    reject_some(network, alice, bob, b"bad")
    assert [message.data for message in rejected] == [b"bad"]
    assert (len(alice.dropped), bob.kinds_of_errors) == (1, [SnakeMQMessageTooLarge])


def test_a_crash_before_the_ack_keeps_one_dead_letter(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer, storage: WatchedStorage
) -> None:
    bob.messaging.on_message_reject.add(lambda *_: network.crash(bob.link))
    reject_some(network, alice, bob, b"bad")
    assert alice.dropped == []
    again = restarted(network, bob, peer, storage)
    Judge(again, b"bad")
    alice.connect(again)
    network.run_until_idle()
    assert len(alice.dropped) == 1
    assert letters_of(again).counts() == {"alice": 1}


def test_a_crash_before_the_dead_letter_is_stored_loses_nothing(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer, storage: WatchedStorage
) -> None:
    storage.failing.add("push")
    reject_some(network, alice, bob, b"bad")
    again = restarted(network, bob, peer, storage)
    judge = Judge(again)
    alice.connect(again)
    network.run_until_idle()
    assert judge.processed == [b"bad"]
    assert letters_of(again).counts() == {}


# -- requeue and purge


def test_a_requeued_message_is_offered_again_under_a_new_uuid(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    judge = reject_some(network, alice, bob, b"bad")
    letters = letters_of(bob)
    (letter,) = letters.list()
    judge.rejected.clear()
    letters.requeue([letter])
    assert letters.counts() == {}
    network.run_until_idle()
    conn_id, ident, message = bob.received[-1]
    assert (ident, message.data, message.attempts) == ("alice", b"bad", 1)
    assert conn_id == bob.received[0][0]
    assert message.uuid != letter.message.uuid
    assert message.headers == {"origin-uuid": letter.message.uuid.hex(), "requeued": "1"}
    assert judge.processed == [b"bad"]
    network.advance(1)
    assert storage.get_queues() == []


def test_a_requeued_message_that_is_rejected_again_is_a_dead_letter_again(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    reject_some(network, alice, bob, b"bad")
    letters = letters_of(bob)
    (first,) = letters.list()
    for times in (1, 2):
        letters.requeue(letters.list())
        network.advance(1)
        (letter,) = letters.list()
        assert (letter.requeued, letter.origin_uuid) == (times, first.message.uuid)
        assert letter.sender == "alice"
    assert len({message.uuid for _, _, message in bob.received}) == 3
    assert bob.messaging.stats().peers["alice"].rejected == 3
    assert len(alice.dropped) == 1


def test_a_requeued_message_that_proves_broken_closes_no_connection(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    judge = reject_some(network, alice, bob, b"bad")
    letters = letters_of(bob)
    judge.rejected.clear()

    def blame(*_: object) -> None:
        raise SnakeMQBrokenFormat

    bob.messaging.on_message_recv.add(blame)
    letters.requeue(letters.list())
    network.advance(60)
    assert bob.disconnected == []
    assert letters.list()[0].attempts == 2


def test_a_dead_letter_that_cannot_be_requeued_stays(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    reject_some(network, alice, bob, b"bad")
    letters = letters_of(bob)
    storage.failing.add("push")
    with pytest.raises(StorageError):
        letters.requeue(letters.list())
    assert letters.counts() == {"alice": 1}


def test_those_that_were_requeued_before_the_storage_failed_are_offered(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage
) -> None:
    judge = reject_some(network, alice, bob, b"bad", b"worse")
    letters = letters_of(bob)
    judge.rejected.clear()
    storage.failing.add("delete")  # the first is requeued, and stays among the dead letters as well
    with pytest.raises(StorageError):
        letters.requeue(letters.list())
    storage.failing.clear()
    network.advance(1)
    assert judge.processed == [b"bad"]


def test_a_message_that_was_requeued_twice_by_mistake_is_offered_once(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    judge = reject_some(network, alice, bob, b"bad")
    letters = letters_of(bob)
    found = letters.list()
    judge.rejected.clear()
    letters.requeue(found)
    letters.requeue(found)
    network.advance(1)
    assert judge.processed == [b"bad"]


def test_what_was_requeued_without_a_messaging_is_offered_by_the_next_one(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer, storage: WatchedStorage
) -> None:
    reject_some(network, alice, bob, *(b"%d" % n for n in range(250)))
    network.crash(bob.link)
    network.run_until_idle()
    offline = storage.restarted()
    letters = DeadLetters(offline)
    assert letters.counts() == {"alice": 250}
    letters.requeue(letters.list(limit=240))
    again = peer("bob", dead_letters=offline.restarted(), name="bob again")
    judge = Judge(again)
    network.advance(1)
    assert judge.processed == [b"%d" % n for n in range(240)]
    assert {conn_id for conn_id, _, _ in again.received} == {""}
    assert letters_of(again).counts() == {"alice": 10}


def test_a_crash_while_a_requeued_message_is_processed_repeats_it(
    network: MemoryNetwork, alice: Peer, bob: Peer, peer: MakePeer, storage: WatchedStorage
) -> None:
    judge = reject_some(network, alice, bob, b"bad")
    storage.failing.add("delete")
    letters = letters_of(bob)
    judge.rejected.clear()
    with pytest.raises(StorageError):
        letters.requeue(letters.list())
    again = restarted(network, bob, peer, storage)
    judge = Judge(again)
    network.advance(1)
    assert judge.processed == [b"bad"]


@pytest.mark.parametrize("failing", ["get_page", "delete"])
def test_requeued_messages_wait_for_a_storage_that_fails(
    network: MemoryNetwork, alice: Peer, bob: Peer, storage: WatchedStorage, failing: str
) -> None:
    judge = reject_some(network, alice, bob, b"bad", b"worse")
    letters = letters_of(bob)
    found = letters.list()
    judge.rejected.clear()
    letters.requeue(found)
    storage.failing.add(failing)
    network.advance(3)
    assert judge.processed == ([] if failing == "get_page" else [b"bad", b"worse"])
    storage.failing.clear()
    network.advance(MAX_DELAY + 1)
    assert judge.processed == [b"bad", b"worse"]
    assert storage.get_queues() == []


@pytest.mark.parametrize("verb", ["ack", "retry", "release", "reject"])
def test_a_requeued_message_is_settled_like_any_other(
    network: MemoryNetwork, alice: Peer, peer: MakePeer, storage: WatchedStorage, verb: str
) -> None:
    bob = peer("bob", dead_letters=storage, manual_ack=True, prefetch=1)
    alice.connect(bob)
    for text in (b"1", b"2"):
        alice.send("bob", text)
    network.run_until_idle()
    bob.messaging.reject(bob.received[0][2])
    network.run_until_idle()
    bob.messaging.ack(bob.received[1][2])
    letters = letters_of(bob)
    letters.requeue(letters.list())
    network.run_until_idle()
    assert bob.heard == [b"1", b"2", b"1"]
    getattr(bob.messaging, verb)(bob.received[2][2])
    network.advance(5)
    if verb in ("retry", "release"):
        assert bob.heard == [b"1", b"2", b"1", b"1"]
        bob.messaging.ack(bob.received[3][2])
    network.advance(5)
    assert letters.counts() == ({"alice": 1} if verb == "reject" else {})
    assert len(bob.received) == (4 if verb in ("retry", "release") else 3)


@pytest.mark.parametrize("size", [10, 4050])
def test_headers_are_kept_and_two_are_added_if_there_is_room(
    network: MemoryNetwork, alice: Peer, bob: Peer, size: int
) -> None:
    judge, headers = Judge(bob, b"bad"), {"trace": "x" * size}
    alice.connect(bob)
    alice.messaging.send_message("bob", Message(b"bad", None, headers=headers))
    network.run_until_idle()
    letters = letters_of(bob)
    for times in (1, 2):
        assert letters.list()[0].message.headers == headers
        letters.requeue(letters.list())
        network.advance(1)
        added = {} if size == 4050 else {"requeued": str(times)}
        found = dict(bob.received[-1][2].headers)
        origin = found.pop("origin-uuid", None)
        assert (found, origin is None) == ({**headers, **added}, size == 4050)
    assert judge.processed == []


def test_purged_letters_are_gone(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    reject_some(network, alice, bob, b"1", b"2", b"3")
    letters = letters_of(bob)
    letters.purge(letters.list(limit=2))
    assert [letter.message.data for letter in letters.list()] == [b"3"]
    letters.purge(letters.list())
    assert letters.counts() == {}


def test_a_limit_ends_the_list(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    reject_some(network, alice, bob, *(b"%d" % n for n in range(5)))
    letters = letters_of(bob)
    assert [letter.message.data for letter in letters.list(3)] == [b"0", b"1", b"2"]
    assert letters.list(0) == []
    assert letters.list(sender="nobody") == []


def test_what_somebody_else_has_written_is_shown_and_can_be_purged(
    bob: Peer, storage: WatchedStorage
) -> None:
    letters = letters_of(bob)
    name = "dead letters, which are not for a peer, but come from: alice"
    storage.push(name, Message(b"not a dead letter", 60, FLAG_PERSISTENT))
    storage.push(name, Message(b'{"sender": 5}\n', 60, FLAG_PERSISTENT))
    found = letters.list()
    assert [letter.sender for letter in found] == ["alice", "alice"]
    assert all("not readable" in letter.reason for letter in found)
    letters.purge(found)
    assert letters.counts() == {}


# -- one storage for everything


def test_a_storage_can_hold_queues_inbox_and_dead_letters(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    storage = MemoryQueuesStorage(clock=network.clock.time)
    bob = peer("bob", storage, inbox=storage, dead_letters=storage)
    bob.send("carol", b"for carol", flags=FLAG_PERSISTENT)
    reject_some(network, alice, bob, b"bad", b"worse")
    letters_of(bob).requeue(letters_of(bob).list(1))
    network.crash(bob.link)
    network.run_until_idle()
    successor = MemoryQueuesStorage(storage, clock=network.clock.time)
    again = peer("bob", successor, inbox=successor, dead_letters=successor, name="bob again")
    carol, judge = peer("carol"), Judge(again)
    carol.connect(again)
    network.advance(1)
    assert (carol.heard, judge.processed) == ([b"for carol"], [b"bad"])
    assert letters_of(again).counts() == {"alice": 1}
    assert set(again.messaging.stats().peers) == {"carol"}


def test_a_storage_of_1_6_can_hold_dead_letters(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    storage = MemoryQueuesStorage()
    assert not storage.pageable
    bob = peer("bob", dead_letters=storage)
    judge = reject_some(network, alice, bob, *(b"%d" % n for n in range(150)))
    letters = letters_of(bob)
    assert len(letters.list(120)) == 120
    judge.rejected.clear()
    letters.requeue(letters.list(120))
    network.advance(1)
    assert judge.processed == [b"%d" % n for n in range(120)]
    assert letters.counts() == {"alice": 30}


def test_a_messaging_without_dead_letters_has_none(alice: Peer) -> None:
    assert alice.messaging.dead_letters is None


def test_something_else_than_a_storage_is_refused(peer: MakePeer) -> None:
    with pytest.raises(TypeError, match="dead_letters must be"):
        peer("bob", dead_letters="sqlite:///dead.db")


def test_a_rejection_is_told_with_its_reason(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    told: list[tuple[DropReason, str]] = []
    alice.messaging.on_message_dropped.add(lambda _i, _m, *why: told.append(why))
    reject_some(network, alice, bob, b"bad")
    assert told == [(DropReason.REJECTED, "no such account")]
