"""What a receiver remembers of what it has processed: in memory, and in an inbox storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_peers import (
    PING,
    PONG,
    VERSION,
    MakePeer,
    MakeRawPeer,
    Peer,
    RawPeer,
    features,
    identification,
)
from memory_peers import message as message_frame

from snakemq.exceptions import SnakeMQBrokenFormat, SnakeMQFlood, StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.messaging._incoming import _inboxes
from snakemq.messaging._incoming._inbox import RecentUuids
from snakemq.messaging._incoming._inboxes import MAX_ABSENT_INBOXES
from snakemq.messaging._incoming._recalls import RECALL_RETRY_DELAY
from snakemq.messaging._incoming._records import RECORD_RETRY_DELAY
from snakemq.queues import MemoryQueuesStorage


class Inbox(MemoryQueuesStorage):
    """An inbox storage that fails when it is told to."""

    def __init__(self, predecessor: MemoryQueuesStorage | None = None) -> None:
        super().__init__(predecessor)
        self.fails: type[Exception] | None = None
        self.records: list[int] = []
        """How many uuids each call of remember() had, also of those that failed."""

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        self.records.append(len(uuids))
        if self.fails:
            raise self.fails("disk full")
        super().remember(ident, uuids, keep)

    def recall(self, ident: str, count: int) -> Sequence[bytes]:
        if self.fails:
            raise self.fails("disk gone")
        return super().recall(ident, count)


class LateRunner:
    """A runner of storage calls that makes them when it is told to."""

    def __init__(self) -> None:
        self._jobs: list[Callable[[], object]] = []

    def run(self, job: Callable[[], object]) -> None:
        self._jobs.append(job)

    def wait(self, timeout: float) -> bool:
        self.catch_up()
        return True

    def end(self) -> None: ...

    def catch_up(self) -> None:
        while self._jobs:
            self._jobs.pop(0)()


@pytest.fixture
def storage() -> Inbox:
    return Inbox()


@pytest.fixture
def bob(peer: MakePeer, storage: Inbox) -> Peer:
    return peer("bob", inbox=storage)


@pytest.fixture
def sender(raw: MakeRawPeer) -> RawPeer:
    return raw("sender")


def join(raw: RawPeer, peer: Peer, *more: bytes, ident: str = "raw") -> None:
    """Connect, introduce itself like a 2.x peer, and send more frames."""
    raw.connect(peer)
    raw.say(VERSION, features(bits=1), identification(ident), *more)


def leave(raw: RawPeer) -> None:
    raw.network.disconnect(raw.conn_id)
    raw.network.run_until_idle()


def uuid(number: int) -> bytes:
    return b"%016d" % number


def frames(*numbers: int, ttl: int = 60) -> list[bytes]:
    """Message frames with these uuids."""
    return [message_frame(b"%d" % number, uuid(number), ttl) for number in numbers]


def acks(raw: RawPeer) -> list[int]:
    return [int.from_bytes(frame[1:], "big") for frame in raw.frames if frame[0] == 17]


def restarted(network: MemoryNetwork, killed: Peer, storage: Inbox) -> tuple[Peer, Inbox]:
    """The receiver's next process."""
    network.crash(killed.link)
    network.run_until_idle()
    successor = Inbox(storage)
    return Peer(network, "bob", inbox=successor), successor


# -- between two living processes


def test_message_that_comes_again_is_dropped_and_acknowledged(bob: Peer, sender: RawPeer) -> None:
    join(sender, bob, *frames(1, 2))
    leave(sender)
    join(sender, bob, *frames(1, 2, 3))
    assert bob.heard == [b"1", b"2", b"3"]
    assert acks(sender) == [2, 3]
    assert bob.messaging.stats().peers["raw"].duplicates == 2


def test_same_uuid_of_two_senders_is_not_the_same_message(
    bob: Peer, sender: RawPeer, raw: MakeRawPeer
) -> None:
    join(sender, bob, *frames(1))
    join(raw("other"), bob, *frames(1), ident="other")
    assert [ident for _, ident, _ in bob.received] == ["raw", "other"]


def test_message_with_ttl_0_is_not_remembered(bob: Peer, sender: RawPeer, storage: Inbox) -> None:
    join(sender, bob, *frames(1, 1, ttl=0))
    assert bob.heard == [b"1", b"1"]
    assert storage.records == []


def test_1_6_peer_repeats_nothing_so_nothing_is_remembered(
    bob: Peer, raw: MakeRawPeer, storage: Inbox
) -> None:
    raw().join(bob, "old", *frames(1, 1))
    assert bob.heard == [b"1", b"1"]
    assert storage.records == []


@pytest.mark.parametrize("window", [1, 10])
def test_two_windows_are_remembered_and_not_much_more(
    peer: MakePeer, sender: RawPeer, window: int
) -> None:
    bob = peer("bob", window_messages=window)
    join(sender, bob)
    for number in range(100):
        sender.say(*frames(number))
    for number in range(100 - 2 * window, 100):
        sender.say(*frames(number))
    assert len(bob.received) == 100
    sender.say(*frames(100 - 4 * window - 1))
    assert len(bob.received) == 101


def test_repetitions_take_no_room_in_the_inbox_from_other_messages(
    network: MemoryNetwork, peer: MakePeer, sender: RawPeer
) -> None:
    storage = Inbox()
    bob = peer("bob", inbox=storage, window_messages=1)
    join(sender, bob)
    sender.say(*frames(1))
    for _ in range(10):
        leave(sender)
        join(sender, bob)
        sender.say(*frames(2))
    bob, _ = restarted(network, bob, storage)
    join(sender, bob)
    sender.say(*frames(1))
    assert bob.heard == []


def test_a_repetition_of_what_is_just_being_recorded_is_acknowledged(
    peer: MakePeer, sender: RawPeer, storage: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = LateRunner()
    monkeypatch.setattr(Messaging, "_runner_of", lambda self, storage: late)
    bob = peer("bob", inbox=storage)
    late.catch_up()
    join(sender, bob)
    late.catch_up()
    sender.say(*frames(1))
    leave(sender)
    join(sender, bob)
    sender.say(*frames(1))
    assert acks(sender) == []
    late.catch_up()
    sender.network.run_until_idle()
    assert acks(sender) == [1]
    assert storage.records == [1]


@given(st.integers(1, 8), st.lists(st.integers(0, 20), max_size=200))
def test_memory_of_uuids_is_bounded_from_both_sides(capacity: int, numbers: list[int]) -> None:
    recent = RecentUuids(capacity)
    latest: list[int] = []  # without repetitions, the last one last
    for number in numbers:
        if number in latest[-capacity:]:
            assert uuid(number) in recent
        is_known = uuid(number) in recent
        assert recent.add(uuid(number)) is not is_known
        if is_known:
            recent.renew(uuid(number))
        latest = [n for n in latest if n != number] + [number]
        assert all(uuid(n) in recent for n in latest[-capacity:])
        assert len(recent) < 2 * capacity or capacity == 1
        assert len(recent) <= 2 * capacity


@pytest.mark.parametrize("manual_ack", [False, True])
def test_longest_absent_senders_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, peer: MakePeer, sender: RawPeer, manual_ack: bool
) -> None:
    assert MAX_ABSENT_INBOXES == 1024
    monkeypatch.setattr(_inboxes, "MAX_ABSENT_INBOXES", 3)
    bob = peer("bob", manual_ack=manual_ack)

    def acknowledge(conn_id: str, ident: str, message: Message) -> None:
        if manual_ack:
            bob.messaging.ack(message)

    bob.messaging.on_message_recv.add(acknowledge)
    for ident in ("1", "2", "3", "1", "4"):  # 1 comes back, so it is 2 that is forgotten
        join(sender, bob, *frames(7), ident=ident)
        leave(sender)
    del bob.received[:]
    for ident in ("1", "3", "4", "2"):
        join(sender, bob, *frames(7), ident=ident)
        leave(sender)
    assert [ident for _, ident, _ in bob.received] == ["2"]


# -- across restarts


def test_message_that_comes_again_to_the_next_process_is_dropped(
    network: MemoryNetwork, bob: Peer, sender: RawPeer, storage: Inbox
) -> None:
    join(sender, bob, *frames(1, 2))
    bob, storage = restarted(network, bob, storage)
    join(sender, bob, *frames(1, 2, 3))
    assert bob.heard == [b"3"]
    bob, storage = restarted(network, bob, storage)
    join(sender, bob, *frames(1, 2, 3, 4))
    assert bob.heard == [b"4"]
    assert acks(sender) == [2, 3, 4]


def test_without_an_inbox_the_next_process_knows_nothing(
    network: MemoryNetwork, peer: MakePeer, sender: RawPeer
) -> None:
    bob = peer("bob")
    join(sender, bob, *frames(1))
    network.crash(bob.link)
    network.run_until_idle()
    bob = peer("bob")
    join(sender, bob, *frames(1))
    assert bob.heard == [b"1"]


def test_batch_is_recorded_at_once_and_before_its_ack(
    bob: Peer, sender: RawPeer, storage: Inbox
) -> None:
    join(sender, bob)
    sender.say(*frames(*range(100)))
    assert storage.records == [100]
    assert acks(sender) == [100]


def test_repetition_is_recorded_as_the_latest(
    network: MemoryNetwork, peer: MakePeer, sender: RawPeer, storage: Inbox
) -> None:
    """A sender that is killed again and again before it deletes repeats it each time."""
    bob = peer("bob", inbox=storage, window_messages=2)  # four are remembered
    join(sender, bob)
    for number in (1, 2, 3, 4, 1, 5, 6, 7):
        sender.say(*frames(number))
    assert list(storage.recall("raw", 4)) == [uuid(n) for n in (1, 5, 6, 7)]


def test_rejected_and_broken_messages_are_recorded(
    network: MemoryNetwork, bob: Peer, sender: RawPeer, storage: Inbox
) -> None:
    def judge(conn_id: str, ident: str, message: Message) -> None:
        if message.data == b"1":
            raise ValueError
        if message.data == b"2":
            raise SnakeMQBrokenFormat

    bob.messaging.on_message_recv.add(judge)
    join(sender, bob, *frames(1, 2))
    network.advance(60)
    bob, storage = restarted(network, bob, storage)
    join(sender, bob, *frames(1, 2, 3))
    assert bob.heard == [b"3"]


def test_manual_ack_is_recorded_also_while_the_sender_is_away(
    network: MemoryNetwork, peer: MakePeer, sender: RawPeer, storage: Inbox
) -> None:
    bob = peer("bob", inbox=storage, manual_ack=True)
    join(sender, bob, *frames(1, 2, 3))
    leave(sender)
    bob.messaging.ack(bob.received[1][2])
    network.run_until_idle()
    bob, storage = restarted(network, bob, storage)
    join(sender, bob, *frames(1, 2, 3))
    assert bob.heard == [b"1", b"3"]


# -- an inbox that fails


@pytest.mark.parametrize("error", [StorageError, OSError])
def test_nothing_is_acknowledged_that_is_not_recorded(
    network: MemoryNetwork, bob: Peer, sender: RawPeer, storage: Inbox, error: type[Exception]
) -> None:
    join(sender, bob)
    storage.fails = error
    sender.say(*frames(1, 2))
    network.advance(2.5 * RECORD_RETRY_DELAY)
    assert acks(sender) == []
    assert bob.errors[0][0] is None
    assert bob.kinds_of_errors == [error] * 3
    storage.fails = None
    network.advance(RECORD_RETRY_DELAY)
    assert acks(sender) == [2]
    assert bob.heard == [b"1", b"2"]
    bob, storage = restarted(network, bob, storage)
    join(sender, bob, *frames(1, 2))
    assert bob.heard == []


def test_what_is_not_recorded_yet_is_bounded_however_often_its_sender_comes(
    network: MemoryNetwork, peer: MakePeer, sender: RawPeer, storage: Inbox
) -> None:
    bob = peer("bob", inbox=storage, window_messages=10)
    join(sender, bob)
    storage.fails = StorageError
    for begin in range(0, 200, 10):
        sender.say(*frames(*range(begin, begin + 10)))
        leave(sender)
        join(sender, bob)
    assert max(storage.records) <= 40 + 10
    storage.fails = None
    sender.say(*frames(*range(200, 210)))
    assert len(bob.received) == 210
    network.advance(RECORD_RETRY_DELAY)
    assert max(storage.records) <= 40 + 10
    assert list(storage.recall("raw", 1000)) == [uuid(n) for n in range(170, 210)]


def test_what_comes_before_the_inbox_was_read_waits(
    network: MemoryNetwork, bob: Peer, sender: RawPeer, storage: Inbox
) -> None:
    """It could be a repetition."""
    join(sender, bob, *frames(1))
    bob, storage = restarted(network, bob, storage)
    storage.fails = StorageError
    join(sender, bob, *frames(1, 2))
    sender.say(PING, *frames(3))
    network.advance(2.5 * RECALL_RETRY_DELAY)
    assert bob.heard == []
    assert acks(sender) == [1]  # from the first process
    assert sender.count(PONG) >= 1
    assert sender.is_connected
    assert bob.kinds_of_errors == [StorageError] * 3
    storage.fails = None
    network.advance(RECALL_RETRY_DELAY)
    assert bob.heard == [b"2", b"3"]
    assert acks(sender) == [1, 3]
    assert bob.messaging._wings.incoming.deliveries.backpressure.bytes == 0


def test_large_message_waits_for_the_inbox_too(
    network: MemoryNetwork, bob: Peer, sender: RawPeer, storage: Inbox
) -> None:
    large = message_frame(bytes(1_000_000), uuid(1), 60)
    storage.fails = StorageError
    join(sender, bob, large, *frames(2))
    assert bob.heard == []
    storage.fails = None
    network.advance(RECALL_RETRY_DELAY)
    assert bob.heard == [bytes(1_000_000), b"2"]
    assert bob.messaging._wings.incoming.deliveries.backpressure.bytes == 0


def test_what_waits_for_the_inbox_is_forgotten_with_its_connection(
    network: MemoryNetwork, bob: Peer, sender: RawPeer, storage: Inbox
) -> None:
    storage.fails = StorageError
    for _ in range(3):
        join(sender, bob, *frames(1, 2))
        leave(sender)
    storage.fails = None
    network.advance(RECALL_RETRY_DELAY)
    assert bob.heard == []
    assert bob.messaging._wings.incoming.deliveries.backpressure.bytes == 0
    join(sender, bob, *frames(1, 2))
    assert bob.heard == [b"1", b"2"]


def test_no_more_than_a_window_waits_for_the_inbox(
    peer: MakePeer, sender: RawPeer, storage: Inbox
) -> None:
    bob = peer("bob", inbox=storage, window_messages=10)
    storage.fails = StorageError
    join(sender, bob, *frames(*range(10)))
    assert sender.is_connected
    sender.say(*frames(10))
    assert not sender.is_connected
    assert bob.kinds_of_errors == [StorageError, SnakeMQFlood]


def test_reading_is_paused_while_too_much_waits_for_inboxes(
    network: MemoryNetwork, peer: MakePeer, sender: RawPeer, storage: Inbox
) -> None:
    bob = peer("bob", inbox=storage, max_unprocessed_bytes=2000)
    storage.fails = StorageError
    join(sender, bob, *frames(*range(5)))
    assert not bob.link.is_reading(bob.link.connections[0])
    storage.fails = None
    network.advance(2 * RECALL_RETRY_DELAY)
    assert len(bob.heard) == 5
    assert bob.link.is_reading(bob.link.connections[0])


def test_storage_that_breaks_its_contract_is_treated_like_one_that_fails(
    network: MemoryNetwork, bob: Peer, sender: RawPeer, storage: Inbox
) -> None:
    storage.fails = OSError
    join(sender, bob, *frames(1))
    assert bob.heard == []
    assert bob.kinds_of_errors == [OSError]
    storage.fails = None
    network.advance(RECALL_RETRY_DELAY)
    assert bob.heard == [b"1"]


def test_one_attempt_is_made_for_all_inboxes(
    network: MemoryNetwork, bob: Peer, raw: MakeRawPeer, storage: Inbox
) -> None:
    senders = [raw(f"sender {n}") for n in range(5)]
    for number, sender in enumerate(senders):
        join(sender, bob, ident=str(number))
    storage.fails = StorageError
    for sender in senders:
        sender.say(*frames(1))
    network.advance(9.5 * RECORD_RETRY_DELAY)
    assert len(storage.records) == 10
    storage.fails = None
    network.advance(RECORD_RETRY_DELAY)
    assert [acks(sender) for sender in senders] == [[1]] * 5


def test_1_6_peer_needs_no_memory(bob: Peer, raw: MakeRawPeer, storage: Inbox) -> None:
    storage.fails = StorageError
    raw().join(bob, "old", *frames(1))
    assert bob.heard == [b"1"]


# -- a storage forgets, too


def test_an_inbox_storage_forgets_the_peers_that_the_memory_forgets(
    monkeypatch: pytest.MonkeyPatch, peer: MakePeer, sender: RawPeer
) -> None:
    monkeypatch.setattr(_inboxes, "MAX_ABSENT_INBOXES", 3)
    monkeypatch.setattr(_inboxes, "FORGET_BATCH", 2)
    storage = MemoryQueuesStorage()
    peer("bob", inbox=storage)
    bob = peer("bob", inbox=storage, name="bob 2")
    for number in range(20):
        join(sender, bob, *frames(7), ident=str(number))
        leave(sender)
        assert len(storage.remembered()) <= 3 + 2
    assert {"17", "18", "19"} <= set(storage.remembered())


def test_a_peer_that_comes_back_before_it_is_forgotten_is_remembered(
    monkeypatch: pytest.MonkeyPatch, peer: MakePeer, sender: RawPeer
) -> None:
    monkeypatch.setattr(_inboxes, "MAX_ABSENT_INBOXES", 1)
    monkeypatch.setattr(_inboxes, "FORGET_BATCH", 3)
    bob = peer("bob", inbox=MemoryQueuesStorage())
    for ident in ("1", "2", "1", "3", "1"):
        join(sender, bob, *frames(7), ident=ident)
        leave(sender)
    assert [ident for _, ident, _ in bob.received] == ["1", "2", "3"]


def test_peers_of_earlier_processes_are_forgotten_first(
    monkeypatch: pytest.MonkeyPatch, peer: MakePeer, sender: RawPeer
) -> None:
    monkeypatch.setattr(_inboxes, "MAX_ABSENT_INBOXES", 3)
    monkeypatch.setattr(_inboxes, "FORGET_BATCH", 1)
    storage = MemoryQueuesStorage()
    for number in range(100):
        storage.remember(f"old {number}", [bytes(16)], 10)
    bob = peer("bob", inbox=storage)
    for number in range(3):
        join(sender, bob, *frames(7), ident=str(number))
        leave(sender)
    assert set(storage.remembered()) == {"0", "1", "2"}


def test_a_storage_that_cannot_forget_keeps_everybody(
    monkeypatch: pytest.MonkeyPatch, peer: MakePeer, sender: RawPeer
) -> None:
    class Keeper:
        blocks = False

        def __init__(self) -> None:
            self.uuids: dict[str, list[bytes]] = {}

        def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
            self.uuids.setdefault(ident, []).extend(uuids)

        def recall(self, ident: str, count: int) -> Sequence[bytes]:
            return self.uuids.get(ident, [])

    monkeypatch.setattr(_inboxes, "MAX_ABSENT_INBOXES", 1)
    bob = peer("bob", inbox=Keeper())
    for ident in ("1", "2", "3", "1"):
        join(sender, bob, *frames(7), ident=ident)
        leave(sender)
    assert [ident for _, ident, _ in bob.received] == ["1", "2", "3"]
    assert bob.errors == []


def test_a_storage_that_fails_to_forget_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, peer: MakePeer, sender: RawPeer
) -> None:
    class Failing(MemoryQueuesStorage):
        fails = True

        def remembered(self) -> Mapping[str, int]:
            if self.fails:
                raise StorageError("not now")
            return super().remembered()

        def forget(self, idents: Sequence[str]) -> None:
            if self.fails:
                raise StorageError("not now")
            super().forget(idents)

    monkeypatch.setattr(_inboxes, "MAX_ABSENT_INBOXES", 2)
    monkeypatch.setattr(_inboxes, "FORGET_BATCH", 1)
    storage = Failing()
    storage.remember("old", [bytes(16)], 10)
    bob = peer("bob", inbox=storage)
    for number in range(10):
        join(sender, bob, *frames(7), ident=str(number))
        leave(sender)
    assert len(storage._inboxes) == 11
    assert StorageError in bob.kinds_of_errors
    storage.fails = False
    for number in range(10, 13):
        join(sender, bob, *frames(7), ident=str(number))
        leave(sender)
    assert set(storage._inboxes) == {"11", "12"}
