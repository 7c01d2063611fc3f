"""An inbox in whose transaction the callbacks write: rows and record commit together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from memory_peers import VERSION, MakePeer, MakeRawPeer, Peer, RawPeer, features, identification
from memory_peers import message as message_frame

from snakemq.exceptions import SnakeMQBrokenFormat, StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Reject, Retry
from snakemq.policy import Rules
from snakemq.queues import InboxStorage, MemoryQueuesStorage, TransactionalInbox


class Database(MemoryQueuesStorage):
    """Rows and uuids that commit together; it fails when it is told to."""

    def __init__(self, predecessor: Database | None = None) -> None:
        super().__init__(predecessor)
        self.rows: list[bytes] = list(predecessor.rows) if predecessor else []
        """What is committed."""
        self.written: list[bytes] = []
        """What is not."""
        self.kept: list[tuple[str, bytes]] = []
        self.savepoint: int | None = None
        self.commits = 0
        self.fails: set[str] = set()
        """The methods that fail."""
        self.answer_is_lost = False
        """Does remember() fail after it has committed?"""
        self.refused: list[bytes] = []
        """Rows that are refused only at the end of their message."""

    def write(self, row: bytes) -> None:
        assert self.savepoint is not None, "written outside of a message"
        self.written.append(row)

    def _fail(self, method: str, exc: type[BaseException] = StorageError) -> None:
        if method in self.fails:
            self.written, self.kept, self.savepoint = [], [], None
            raise exc(f"{method} failed")

    def begin(self) -> None:
        assert self.savepoint is None
        self._fail("begin")
        self.savepoint = len(self.written)

    def keep(self, ident: str, uuid: bytes | None) -> None:
        assert self.savepoint is not None
        self._fail("keep")
        begin, self.savepoint = self.savepoint, None
        if any(row in self.refused for row in self.written[begin:]):
            del self.written[begin:]
            raise ValueError("such a row is not allowed")
        if uuid is not None:
            self.kept.append((ident, uuid))

    def undo(self) -> None:
        assert self.savepoint is not None
        self._fail("undo")
        del self.written[self.savepoint :]
        self.savepoint = None

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        assert self.savepoint is None
        self._fail("remember")
        for peer, uuid in self.kept:
            super().remember(peer, [uuid], keep)
        super().remember(ident, uuids, keep)
        self.rows += self.written
        self.written, self.kept = [], []
        self.commits += 1
        if self.answer_is_lost:
            self.answer_is_lost = False
            raise StorageError("the server has gone")


@pytest.fixture
def database() -> Database:
    return Database()


class Bob(Peer):
    """A peer that writes each message into its database, and then does what the test says."""

    def __init__(self, network: MemoryNetwork, database: Database, **options: Any) -> None:
        super().__init__(network, "bob", inbox=database, **options)
        self.raises: dict[bytes, list[BaseException]] = {}
        """What the callback raises for a message, at one attempt after the other."""
        self.database = database
        self.messaging.on_message_recv.add(self._write)

    def _write(self, conn_id: str, ident: str, message: Message) -> None:
        self.database.write(message.data)
        if self.raises.get(message.data):
            raise self.raises[message.data].pop(0)


@pytest.fixture
def bob(network: MemoryNetwork, database: Database) -> Bob:
    return Bob(network, database)


@pytest.fixture
def sender(raw: MakeRawPeer) -> RawPeer:
    return raw("sender")


def join(raw: RawPeer, peer: Peer, *more: bytes, ident: str = "raw") -> None:
    """Connect, introduce itself like a 2.x peer, and send more frames."""
    raw.connect(peer)
    raw.say(VERSION, features(bits=1), identification(ident), *more)


def frames(*numbers: int, ttl: int = 60) -> list[bytes]:
    return [message_frame(b"%d" % number, b"%016d" % number, ttl) for number in numbers]


def acks(raw: RawPeer) -> list[int]:
    return [int.from_bytes(frame[1:], "big") for frame in raw.frames if frame[0] == 17]


def uuids(database: Database, ident: str = "raw") -> list[int]:
    """Those that the inbox has, without the marks of rejected ones."""
    return [int(uuid) for uuid in database.recall(ident, 1000) if uuid.isdigit()]


def restarted(network: MemoryNetwork, killed: Bob) -> Bob:
    """The receiver's next process."""
    network.crash(killed.link)
    network.run_until_idle()
    return Bob(network, Database(killed.database))


# -- all goes well


def test_rows_of_messages_that_came_together_share_one_commit(
    bob: Bob, sender: RawPeer, database: Database
) -> None:
    join(sender, bob, *frames(1, 2, 3))
    assert database.rows == [b"1", b"2", b"3"]
    assert uuids(database) == [1, 2, 3]
    assert acks(sender) == [3]
    assert database.commits == 1


def test_nothing_is_committed_when_nothing_has_come(
    bob: Bob, sender: RawPeer, database: Database
) -> None:
    join(sender, bob)
    sender.say(*frames(1))
    sender.say(b"\x04")
    bob.network.crash(bob.link)
    assert database.commits == 1


def test_repetitions_write_nothing_after_a_restart(
    network: MemoryNetwork, bob: Bob, sender: RawPeer
) -> None:
    join(sender, bob, *frames(1, 2))
    bob = restarted(network, bob)
    join(sender, bob, *frames(1, 2, 3))
    assert bob.heard == [b"3"]
    assert bob.database.rows == [b"1", b"2", b"3"]
    assert acks(sender) == [2, 3]


def test_a_kill_before_the_commit_takes_rows_and_record(
    network: MemoryNetwork, bob: Bob, sender: RawPeer
) -> None:
    class Killed(BaseException):
        pass

    bob.raises[b"2"] = [Killed()]
    join(sender, bob)
    # The process is gone before its transaction is committed.
    bob.database.fails = {"remember"}
    with pytest.raises(Killed):
        sender.say(*frames(1, 2))
    bob = restarted(network, bob)
    assert bob.database.rows == []
    join(sender, bob, *frames(1, 2))
    assert bob.database.rows == [b"1", b"2"]


def test_message_with_ttl_0_is_committed_without_a_record(
    bob: Bob, sender: RawPeer, database: Database
) -> None:
    join(sender, bob, *frames(1, 2, ttl=0))
    assert database.rows == [b"1", b"2"]
    assert uuids(database) == []


def test_message_of_a_1_6_peer_is_committed_without_a_record(
    bob: Bob, raw: MakeRawPeer, database: Database
) -> None:
    raw().join(bob, "old", *frames(1))
    assert database.rows == [b"1"]
    assert uuids(database, "old") == []


def test_denied_message_writes_nothing_and_is_remembered(
    network: MemoryNetwork, database: Database, sender: RawPeer
) -> None:
    bob = Bob(network, database, policy=Rules([]))
    join(sender, bob, *frames(1))
    assert database.rows == []
    assert uuids(database) == [1]
    assert acks(sender) == [1]


# -- a callback raises


def test_a_callback_that_raises_has_only_its_own_rows_undone(
    bob: Bob, sender: RawPeer, database: Database, network: MemoryNetwork
) -> None:
    bob.raises[b"2"] = [RuntimeError("no")]
    join(sender, bob, *frames(1, 2, 3))
    assert database.rows == [b"1", b"3"]
    assert uuids(database) == [1, 3]
    network.clock.advance(1.0)
    network.run_until_idle()
    assert database.rows == [b"1", b"3", b"2"]
    assert set(uuids(database)) == {1, 2, 3}
    assert acks(sender)[-1] == 3


def test_rows_that_are_refused_at_the_end_are_an_error_of_the_callback(
    bob: Bob, sender: RawPeer, database: Database, network: MemoryNetwork
) -> None:
    database.refused = [b"2"]
    join(sender, bob, *frames(1, 2, 3))
    assert (database.rows, uuids(database)) == ([b"1", b"3"], [1, 3])
    assert bob.kinds_of_errors == [ValueError]
    for _ in range(4):
        network.clock.advance(1.0)
        network.run_until_idle()
    assert bob.heard.count(b"2") == 5
    assert set(uuids(database)) == {1, 2, 3}  # it is given up
    assert database.rows == [b"1", b"3"]


def test_rows_of_attempts_that_failed_are_all_undone(
    bob: Bob, sender: RawPeer, database: Database, network: MemoryNetwork
) -> None:
    bob.raises[b"1"] = [Retry(0.5), RuntimeError("no"), Retry(0.5)]
    join(sender, bob, *frames(1))
    for _ in range(3):
        network.clock.advance(1.0)
        network.run_until_idle()
    assert bob.heard == [b"1"] * 4
    assert database.rows == [b"1"]


def test_rejected_message_leaves_no_rows_and_is_remembered(
    bob: Bob, sender: RawPeer, database: Database
) -> None:
    bob.raises[b"1"] = [Reject("no")]
    join(sender, bob, *frames(1, 2))
    assert database.rows == [b"2"]
    assert set(uuids(database)) == {1, 2}
    assert acks(sender)[-1] == 2


def test_message_that_is_nonsense_leaves_no_rows_and_stays_known(
    bob: Bob, sender: RawPeer, database: Database
) -> None:
    bob.raises[b"2"] = [SnakeMQBrokenFormat("nonsense")]
    join(sender, bob, *frames(1, 2, 3))
    assert not sender.is_connected
    assert database.rows == [b"1"]
    assert set(uuids(database)) == {1, 2}


def test_ctrl_c_undoes_one_message_and_keeps_those_before(
    bob: Bob, sender: RawPeer, database: Database
) -> None:
    bob.raises[b"2"] = [KeyboardInterrupt()]
    join(sender, bob)
    with pytest.raises(KeyboardInterrupt):
        sender.say(*frames(1, 2, 3))
    assert database.rows == [b"1"]
    assert uuids(database) == [1]


def test_what_a_callback_writes_that_defers_the_ack_is_undone(
    bob: Bob, sender: RawPeer, database: Database, network: MemoryNetwork
) -> None:
    bob.messaging.on_message_recv.add(
        lambda _conn_id, _ident, message: bob.messaging.defer_ack(message)
    )
    join(sender, bob, *frames(1))
    assert (database.rows, uuids(database), acks(sender)) == ([], [], [])
    bob.messaging.ack(bob.received[0][2])
    network.run_until_idle()
    assert (database.rows, uuids(database), acks(sender)) == ([], [1], [1])


# -- the database fails


@pytest.mark.parametrize("method", ["begin", "keep", "remember"])
def test_after_a_failure_the_whole_batch_comes_again(
    bob: Bob, sender: RawPeer, database: Database, method: str
) -> None:
    join(sender, bob)
    database.fails = {method}
    sender.say(*frames(1, 2))
    assert database.rows == []
    assert acks(sender) == []
    assert not sender.is_connected
    assert StorageError in bob.kinds_of_errors
    database.fails = set()
    join(sender, bob, *frames(1, 2))
    assert database.rows == [b"1", b"2"]
    assert uuids(database) == [1, 2]
    assert acks(sender) == [2]


def test_when_undo_fails_all_messages_of_the_batch_come_again(
    bob: Bob, sender: RawPeer, database: Database
) -> None:
    join(sender, bob)
    database.fails = {"undo"}
    bob.raises[b"2"] = [RuntimeError("the disk is full")]
    sender.say(*frames(1, 2, 3))
    assert database.rows == []
    assert not sender.is_connected
    assert bob.kinds_of_errors == [RuntimeError, StorageError]
    database.fails = set()
    join(sender, bob, *frames(1, 2, 3))
    assert database.rows == [b"1", b"2", b"3"]


def test_a_commit_whose_answer_was_lost_is_not_done_again(
    bob: Bob, sender: RawPeer, database: Database
) -> None:
    database.answer_is_lost = True
    join(sender, bob, *frames(1, 2))
    assert not sender.is_connected
    join(sender, bob, *frames(1, 2))
    assert database.rows == [b"1", b"2"]
    assert acks(sender) == [2]


def test_a_failure_concerns_only_the_peers_of_the_transaction(
    bob: Bob, sender: RawPeer, raw: MakeRawPeer, database: Database
) -> None:
    other = raw("other")
    join(other, bob, *frames(7), ident="other")
    join(sender, bob)
    database.fails = {"remember"}
    sender.say(*frames(1))
    assert other.is_connected
    assert not sender.is_connected
    assert database.rows == [b"7"]


def test_failure_at_a_later_attempt_has_the_message_sent_again(
    bob: Bob, sender: RawPeer, database: Database, network: MemoryNetwork
) -> None:
    bob.raises[b"1"] = [RuntimeError("no")]
    join(sender, bob, *frames(1))
    database.fails = {"remember"}
    network.clock.advance(1.0)
    network.run_until_idle()
    assert (database.rows, acks(sender)) == ([], [])
    assert not sender.is_connected
    database.fails = set()
    join(sender, bob, *frames(1))
    assert database.rows == [b"1"]
    assert acks(sender) == [1]


def test_rejection_is_not_acknowledged_before_its_record_is_durable(
    bob: Bob, sender: RawPeer, database: Database
) -> None:
    bob.raises[b"1"] = [Reject("no")]
    join(sender, bob)
    database.fails = {"remember"}
    sender.say(*frames(1))
    assert acks(sender) == []
    assert not sender.is_connected
    database.fails = set()
    join(sender, bob, *frames(1))
    assert bob.heard == [b"1"]
    assert (database.rows, uuids(database), acks(sender)) == ([], [1], [1])


def test_peer_that_takes_the_place_while_a_callback_writes_comes_again(
    bob: Bob, sender: RawPeer, raw: MakeRawPeer, database: Database
) -> None:
    """The callback closes the connection, and one that waits for the ident is admitted at once."""
    other = raw("other")
    join(sender, bob)
    join(other, bob, *frames(2))
    conn_id = bob.connected[0][0]
    bob.messaging.on_message_recv.add(lambda *_: _close_once(bob, conn_id))
    sender.say(*frames(1))
    assert database.rows == [b"1"]
    assert not other.is_connected
    assert [str(exc) for _, exc in bob.errors] == [
        "a callback still writes, so this peer has to come again"
    ]
    join(other, bob, *frames(1, 2))
    assert database.rows == [b"1", b"2"]


def _close_once(bob: Bob, conn_id: str) -> None:
    if len(bob.disconnected) == 0:
        bob.link.close(conn_id)


def test_a_requeued_dead_letter_is_committed_too(network: MemoryNetwork, sender: RawPeer) -> None:
    database, letters = Database(), MemoryQueuesStorage()
    bob = Bob(network, database, dead_letters=letters)
    bob.raises[b"1"] = [Reject("no")]
    join(sender, bob, *frames(1))
    assert bob.messaging.dead_letters is not None
    (letter,) = bob.messaging.dead_letters.list()
    database.fails = {"remember"}
    bob.messaging.dead_letters.requeue([letter])
    network.run_until_idle()
    assert database.rows == []
    database.fails = set()
    network.clock.advance(1.0)
    network.run_until_idle()
    assert database.rows == [b"1"]


# -- settings


def test_manual_ack_is_refused_with_such_an_inbox(peer: MakePeer, database: Database) -> None:
    with pytest.raises(ValueError, match="use one or the other"):
        peer("bob", inbox=database, manual_ack=True)


def test_such_an_inbox_has_to_be_called_in_the_loop(peer: MakePeer, database: Database) -> None:
    database.blocks = True
    with pytest.raises(ValueError, match="blocks = False"):
        peer("bob", inbox=database)


def test_other_inboxes_are_not_taken_for_transactional_ones(database: Database) -> None:
    assert isinstance(database, TransactionalInbox)
    assert isinstance(MemoryQueuesStorage(), InboxStorage)
    assert not isinstance(MemoryQueuesStorage(), TransactionalInbox)
