"""The inbox in the user's own SQLite database: rows and record commit together."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from snakemq.exceptions import StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.queues import ForgetfulInbox, TransactionalInbox
from snakemq.storage.sqlite import SqliteInbox

UUIDS = [b"%016d" % number for number in range(100)]


def connect(path: Path, **options: Any) -> sqlite3.Connection:
    connection: sqlite3.Connection = sqlite3.connect(path, timeout=0.0, **options)
    connection.execute("CREATE TABLE IF NOT EXISTS rows (data BLOB)")
    connection.commit()
    return connection


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(path)) as connection:
        yield connection


@pytest.fixture
def inbox(connection: sqlite3.Connection) -> SqliteInbox:
    return SqliteInbox(connection)


@pytest.fixture
def committed(path: Path) -> Callable[[], list[bytes]]:
    """The rows that everybody sees."""

    def read() -> list[bytes]:
        with closing(sqlite3.connect(path)) as other:
            return [data for (data,) in other.execute("SELECT data FROM rows ORDER BY rowid")]

    return read


Committed = Callable[[], list[bytes]]


def write(connection: sqlite3.Connection, data: bytes) -> None:
    connection.execute("INSERT INTO rows VALUES (?)", (data,))


# -- what it keeps


def test_it_is_a_transactional_and_forgetful_inbox(inbox: SqliteInbox) -> None:
    assert isinstance(inbox, TransactionalInbox)
    assert isinstance(inbox, ForgetfulInbox)
    assert inbox.blocks is False


def test_uuids_are_recalled_in_order_after_reopening(
    path: Path, connection: sqlite3.Connection, inbox: SqliteInbox
) -> None:
    inbox.remember("alice", UUIDS[:3], 10)
    inbox.remember("alice", UUIDS[3:5], 10)
    inbox.remember("příjemce", UUIDS[7:8], 10)
    connection.close()
    with closing(connect(path)) as again:
        inbox = SqliteInbox(again)
        assert inbox.recall("alice", 4) == UUIDS[1:5]
        assert inbox.recall("příjemce", 4) == UUIDS[7:8]
        assert inbox.remembered() == {"alice": 5, "příjemce": 1}


def test_only_the_last_uuids_are_kept(inbox: SqliteInbox) -> None:
    for uuid in UUIDS:
        inbox.remember("alice", [uuid], 10)
    assert inbox.recall("alice", 1000) == UUIDS[-10:]


def test_peers_are_forgotten(inbox: SqliteInbox) -> None:
    inbox.remember("alice", UUIDS[:3], 10)
    inbox.remember("bob", UUIDS[:3], 10)
    inbox.forget(["alice", "nobody"])
    assert inbox.remembered() == {"bob": 3}


def test_two_inboxes_of_one_database_have_tables_of_their_own(
    connection: sqlite3.Connection, inbox: SqliteInbox
) -> None:
    other = SqliteInbox(connection, table='my "inbox"')
    other.remember("alice", UUIDS[:1], 10)
    assert inbox.recall("alice", 10) == []
    assert SqliteInbox(connection, table='my "inbox"').recall("alice", 10) == UUIDS[:1]


def test_factories_of_the_connection_do_no_harm(
    connection: sqlite3.Connection, inbox: SqliteInbox
) -> None:
    connection.row_factory = lambda cursor, row: {"row": row}
    connection.text_factory = bytes
    inbox.remember("alice", UUIDS[:2], 10)
    assert inbox.recall("alice", 10) == UUIDS[:2]
    assert inbox.remembered() == {"alice": 2}


# -- the transaction

MODES: list[dict[str, Any]] = [{}, {"isolation_level": None}, {"isolation_level": "EXCLUSIVE"}]
if sys.version_info >= (3, 12):
    MODES += [{"autocommit": True}, {"autocommit": False}]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_rows_and_record_become_visible_together(
    path: Path, committed: Committed, mode: dict[str, Any]
) -> None:
    with closing(connect(path, **mode)) as connection:
        inbox = SqliteInbox(connection)
        for number in (1, 2):
            inbox.begin()
            write(connection, b"%d" % number)
            inbox.keep("alice", UUIDS[number])
        inbox.begin()
        write(connection, b"3")
        inbox.undo()
        assert committed() == []
        inbox.remember("alice", [UUIDS[9]], 10)
        assert committed() == [b"1", b"2"]
        assert inbox.recall("alice", 10) == [UUIDS[1], UUIDS[2], UUIDS[9]]
        write(connection, b"4")  # no transaction of the inbox is open any more
        connection.commit()
        assert committed() == [b"1", b"2", b"4"]


def test_records_of_all_peers_are_committed_with_the_rows(
    connection: sqlite3.Connection, inbox: SqliteInbox
) -> None:
    for ident, uuid in (("alice", UUIDS[1]), ("carol", UUIDS[2]), ("dave", None)):
        inbox.begin()
        write(connection, b"row")
        inbox.keep(ident, uuid)
    inbox.remember("bob", [], 10)
    assert inbox.remembered() == {"alice": 1, "carol": 1}


ENDS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "commit": lambda connection: connection.commit(),
    "rollback": lambda connection: connection.rollback(),
    "COMMIT": lambda connection: connection.execute("COMMIT"),
    "END": lambda connection: connection.execute("end"),
    "ROLLBACK": lambda connection: connection.execute("ROLLBACK"),
    "with": lambda connection: connection.__exit__(None, None, None),
    "executescript": lambda connection: connection.executescript("SELECT 1"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_callback_cannot_end_the_transaction(
    connection: sqlite3.Connection,
    inbox: SqliteInbox,
    committed: Committed,
    end: Callable[[sqlite3.Connection], object],
) -> None:
    for statement in ("COMMIT", "end", "ROLLBACK"):  # Python keeps them prepared
        connection.execute("BEGIN")
        connection.execute(statement)
    inbox.begin()
    write(connection, b"1")
    inbox.keep("alice", UUIDS[1])
    inbox.begin()
    write(connection, b"2")
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        end(connection)
    inbox.undo()
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        end(connection)  # neither can a callback of another event
    inbox.remember("alice", [], 10)
    assert committed() == [b"1"]
    assert inbox.recall("alice", 10) == [UUIDS[1]]
    connection.commit()
    connection.rollback()


def test_callbacks_may_use_savepoints(
    connection: sqlite3.Connection, inbox: SqliteInbox, committed: Committed
) -> None:
    inbox.begin()
    write(connection, b"1")
    connection.execute("SAVEPOINT mine")
    write(connection, b"2")
    connection.execute("ROLLBACK TO mine")
    connection.execute("SAVEPOINT left_open")
    write(connection, b"3")
    inbox.keep("alice", UUIDS[1])
    inbox.remember("alice", [], 10)
    assert committed() == [b"1", b"3"]


def test_a_transaction_that_the_user_has_left_open_is_joined(
    connection: sqlite3.Connection, inbox: SqliteInbox, committed: Committed
) -> None:
    write(connection, b"0")
    inbox.begin()
    write(connection, b"1")
    inbox.undo()
    inbox.remember("alice", [], 10)
    assert committed() == [b"0"]


def test_peers_forgotten_while_a_callback_writes_go_with_its_commit(
    connection: sqlite3.Connection, inbox: SqliteInbox, committed: Committed
) -> None:
    inbox.remember("bob", UUIDS[:1], 10)
    inbox.begin()
    write(connection, b"1")
    inbox.forget(["bob"])
    assert inbox.recall("bob", 10) == []
    assert committed() == []
    inbox.keep("alice", UUIDS[1])
    inbox.remember("alice", [], 10)
    assert inbox.remembered() == {"alice": 1}


# -- failures


def test_a_commit_that_fails_rolls_back_rows_and_record(
    path: Path, connection: sqlite3.Connection, inbox: SqliteInbox, committed: Committed
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM rows").fetchall()  # a commit has to wait for this reader
        inbox.begin()
        write(connection, b"1")
        inbox.keep("alice", UUIDS[1])
        with pytest.raises(StorageError, match="locked") as failure:
            inbox.remember("alice", [], 10)
        assert failure.value.temporary
        assert not connection.in_transaction
        reader.execute("COMMIT")
    assert committed() == []
    assert inbox.recall("alice", 10) == []
    inbox.begin()
    write(connection, b"2")
    inbox.keep("alice", UUIDS[2])
    inbox.remember("alice", [], 10)
    assert committed() == [b"2"]
    assert inbox.recall("alice", 10) == [UUIDS[2]]


def test_a_locked_database_is_a_temporary_failure_of_begin(
    path: Path, connection: sqlite3.Connection, inbox: SqliteInbox, committed: Committed
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked") as failure:
            inbox.begin()
        assert failure.value.temporary
    inbox.begin()
    write(connection, b"1")
    inbox.keep("alice", UUIDS[1])
    inbox.remember("alice", [], 10)
    assert committed() == [b"1"]


def test_when_sqlite_itself_rolls_back_the_message_is_not_kept(
    connection: sqlite3.Connection, inbox: SqliteInbox, committed: Committed
) -> None:
    connection.execute(
        "CREATE TRIGGER full BEFORE INSERT ON rows WHEN new.data = x'66'"
        " BEGIN SELECT raise(ROLLBACK, 'like a full disk'); END"
    )
    connection.commit()
    inbox.begin()
    write(connection, b"1")
    inbox.keep("alice", UUIDS[1])
    inbox.begin()
    with pytest.raises(sqlite3.IntegrityError):
        write(connection, b"f")
    with pytest.raises(StorageError, match="no such savepoint"):
        inbox.undo()
    inbox.remember("alice", [], 10)
    assert committed() == []
    assert inbox.recall("alice", 10) == []


def test_nothing_is_committed_while_a_callback_writes(
    connection: sqlite3.Connection, inbox: SqliteInbox
) -> None:
    inbox.begin()
    with pytest.raises(StorageError, match="while a callback writes"):
        inbox.remember("alice", UUIDS[:1], 10)
    inbox.undo()
    inbox.remember("alice", UUIDS[:1], 10)
    assert inbox.recall("alice", 10) == UUIDS[:1]


def test_a_closed_connection_is_a_storage_error(
    connection: sqlite3.Connection, inbox: SqliteInbox
) -> None:
    connection.close()
    for call in (
        inbox.begin,
        lambda: inbox.remember("alice", UUIDS[:1], 10),
        lambda: inbox.recall("alice", 10),
        inbox.remembered,
        lambda: inbox.forget(["alice"]),
    ):
        with pytest.raises(StorageError, match="closed database"):
            call()


def test_wrong_arguments_are_refused(connection: sqlite3.Connection) -> None:
    with pytest.raises(TypeError, match=r"sqlite3\.Connection"):
        SqliteInbox("file.db")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="table must be "):
        SqliteInbox(connection, table=b"inbox")  # type: ignore[arg-type]
    write(connection, b"0")
    with pytest.raises(ValueError, match="a transaction is open"):
        SqliteInbox(connection)


# -- below messaging


def test_each_message_has_one_row_though_callbacks_raise(
    connection: sqlite3.Connection, inbox: SqliteInbox, committed: Committed
) -> None:
    network = MemoryNetwork()
    alice, bob = network.link("alice"), network.link("bob")
    sender = Messaging("alice", "", Packeter(alice))
    receiver = Messaging("bob", "", Packeter(bob), inbox=inbox, retry_delay=0.5)
    delivered: list[bytes] = []
    sender.on_message_delivered.add(lambda _conn_id, _ident, uuid: delivered.append(uuid))

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        write(connection, message.data)
        if message.attempts == 1 and message.data.endswith(b"3"):
            connection.commit()  # it is not allowed to do that
        if message.attempts == 1 and message.data.endswith(b"7"):
            raise RuntimeError("it is a bad day")

    receiver.on_message_recv.add(on_message_recv)
    for number in range(20):
        sender.send_message("bob", Message(b"%d" % number, ttl=None))
    network.connect(alice, bob)
    network.run_until_idle()
    assert len(committed()) == 16
    network.clock.advance(1.0)
    network.run_until_idle()
    assert sorted(committed(), key=int) == [b"%d" % number for number in range(20)]
    assert len(delivered) == 20
    assert len(inbox.recall("alice", 100)) >= 20
