"""SqliteQueuesStorage: names of files, commits, threads."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import snakemq.storage.sqlite
from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.queues import QueuesStorageBase
from snakemq.storage.sqlite import SqliteQueuesStorage
from snakemq.storage.sqlite._connection import LOG_SIZE


def test_public_names() -> None:
    assert snakemq.storage.sqlite.__all__ == ["SqliteInbox", "SqliteQueuesStorage"]
    assert SqliteQueuesStorage.__module__ == "snakemq.storage.sqlite"
    assert issubclass(SqliteQueuesStorage, QueuesStorageBase)


@pytest.mark.parametrize("kind", [str, Path, os.fsencode], ids=["str", "Path", "bytes"])
def test_a_filename_is_a_str_a_path_or_bytes(path: Path, kind: Callable[[Path], Any]) -> None:
    with closing(SqliteQueuesStorage(kind(path))) as storage:
        storage.push("peer", Message(b"", None))
    assert path.exists()


@pytest.mark.parametrize(
    "name", ["with space?#%41.db", "file:x?mode=memory", "sch\u00f6n'\"; --.db"]
)
def test_a_filename_is_taken_literally(tmp_path: Path, name: str) -> None:
    with closing(SqliteQueuesStorage(tmp_path / name)) as storage:
        storage.push("peer", Message(b"", None))
    assert os.listdir(tmp_path) == [name]


def test_an_empty_filename_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        SqliteQueuesStorage("")


def test_memory_forgets_at_close() -> None:
    for _ in range(2):
        with closing(SqliteQueuesStorage(":memory:")) as storage:
            assert storage.get_queues() == []
            storage.push("peer", Message(b"1", None))
            assert [item.data for item in storage.get_items("peer")] == [b"1"]


def test_close_leaves_the_file_only(path: Path) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        storage.push("peer", Message(b"", None))
    assert os.listdir(path.parent) == [path.name]


def test_every_push_is_synced_and_no_deletion_is(path: Path) -> None:
    # No test cuts the power, so this only observes what SQLite is asked to do.
    with closing(SqliteQueuesStorage(path)) as storage:
        connection = storage._database.connection
        statements: list[str] = []

        def synchronous() -> int:
            level: int = connection.execute("PRAGMA synchronous").fetchone()[0]
            return level

        full, item = 2, Message(b"", None)
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == b"wal"
        assert synchronous() == full
        storage.push("peer", item)
        connection.set_trace_callback(statements.append)
        storage.remember("peer", [item.uuid], 10)
        assert statements[-1] == "COMMIT"
        assert not any("synchronous" in statement for statement in statements)
        lazily: tuple[Callable[[], object], ...] = (
            lambda: storage.delete("peer", [item]),
            lambda: storage.delete_items([item]),
            lambda: storage.update_items_ttl([item]),
            storage.delete_all,
            storage.checkpoint_clock,
        )
        for lazy in lazily:
            statements.clear()
            lazy()
            assert statements[0] == "PRAGMA synchronous=NORMAL"
            done = [s for s in statements if s != "PRAGMA freelist_count"]
            assert done[-2:] == ["COMMIT", "PRAGMA synchronous=FULL"]
            assert synchronous() == full
        with pytest.raises(ZeroDivisionError):
            storage.delete_items(item for _ in [1 / 0])
        broken = Message(b"", None)
        broken.ttl = object()  # type: ignore[assignment]
        with pytest.raises(StorageError, match="type 'object' is not supported"):
            storage.update_items_ttl([broken])
        assert synchronous() == full


def test_the_log_is_written_back_and_used_again(path: Path) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        for _ in range(100):
            storage.push("peer", Message(bytes(50_000), None))
        size = os.path.getsize(f"{path}-wal")
        assert LOG_SIZE <= size < 1.2 * LOG_SIZE


def test_push_many_is_all_or_nothing(path: Path) -> None:
    unstorable = Message(b"", None)
    unstorable.flags = 1 << 64
    with closing(SqliteQueuesStorage(path)) as storage:
        with pytest.raises(StorageError, match="too large"):
            storage.push_many("peer", [Message(b"", None), unstorable])
        assert storage.get_queues() == []
        storage.push("peer", Message(b"good", None))
        assert [item.data for item in storage.get_items("peer")] == [b"good"]


def test_push_many_is_one_commit(path: Path) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        statements: list[str] = []
        storage._database.connection.set_trace_callback(statements.append)
        storage.push_many("peer", [Message(b"", None) for _ in range(100)])
        assert len(statements) == 1
        statements.clear()
        storage.push_many("peer", [Message(b"", None) for _ in range(250)])
        assert statements[0] == "BEGIN IMMEDIATE"
        assert statements.index("COMMIT") == len(statements) - 1
        assert storage.count("peer") == 350


@pytest.mark.parametrize("number", [0, 1, 100, 101, 250])
def test_any_number_of_messages_is_deleted_in_one_commit(path: Path, number: int) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        items = [Message(b"", None) for _ in range(number + 1)]
        for queue in ("peer", "other"):
            storage.push_many(queue, items)
        statements: list[str] = []
        storage._database.connection.set_trace_callback(statements.append)
        storage.delete("peer", items[1:])
        assert statements.count("COMMIT") == 1
        assert [item.uuid for item in storage.get_items("peer")] == [items[0].uuid]
        assert storage.count("other") == len(items)


def test_an_ident_that_is_not_unicode_is_refused_without_harm(path: Path) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        with pytest.raises(ValueError, match="surrogates not allowed"):
            storage.push("\ud800", Message(b"", None))
        storage.push("peer", Message(b"", None))
        assert storage.get_queues() == ["peer"]


def test_lookups_use_an_index(path: Path) -> None:
    """With a million messages waiting, each of these reads only what it needs."""
    from snakemq.storage.sqlite._statements import PAGE, QUEUE_NAMES, delete_rows

    SqliteQueuesStorage(path).close()
    with closing(sqlite3.connect(path)) as connection:
        for statement, index in (
            (PAGE, "messages_in_order"),
            ("SELECT count(*) FROM messages WHERE queue_name = ?", "messages_in_order"),
            (QUEUE_NAMES, "messages_in_order"),
            ("SELECT max(seq) FROM inbox WHERE ident = ?", "PRIMARY KEY"),
            ("DELETE FROM inbox WHERE ident = ? AND seq < ?", "PRIMARY KEY"),
            ("DELETE FROM messages WHERE uuid = ?", "messages_by_uuid"),
            (delete_rows(100), "messages_by_uuid"),
            ("UPDATE messages SET ttl = 0, stored_at = 0 WHERE uuid = ?", "messages_by_uuid"),
        ):
            parameters = ("x",) * statement.count("?")
            plan = connection.execute("EXPLAIN QUERY PLAN " + statement, parameters).fetchall()
            steps = [detail for *_, detail in plan]
            assert any(index in step for step in steps), steps
            whole = ("SCAN messages", "SCAN inbox", "TEMP B-TREE")
            assert not any(word in step for word in whole for step in steps), steps
