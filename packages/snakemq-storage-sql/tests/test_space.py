"""A file that is nearly empty gives its space back."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from snakemq.message import Message
from snakemq.storage.sqlite import SqliteQueuesStorage, _space

SMALL = 200_000


def fill(storage: SqliteQueuesStorage, count: int = 2000) -> list[Message]:
    items = [Message(bytes(4000), None) for _ in range(count)]
    for start in range(0, count, 500):
        storage.push_many("bob", items[start : start + 500])
    return items


def test_a_delivered_backlog_gives_its_space_back_while_open(
    path: Path,
) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        items = fill(storage)
        last = Message(b"last", None)
        storage.push("bob", last)
        full = path.stat().st_size
        assert full > 8_000_000
        for start in range(0, len(items), 500):
            storage.delete("bob", items[start : start + 500])
        assert path.stat().st_size < SMALL
        assert [item.uuid for item in storage.get_items("bob")] == [last.uuid]
    with closing(SqliteQueuesStorage(path)) as storage:
        assert [item.uuid for item in storage.get_items("bob")] == [last.uuid]


@pytest.mark.parametrize("how", ["delete_items", "delete_all"])
def test_each_way_of_deleting_shrinks_the_file(path: Path, how: str) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        items = fill(storage)
        if how == "delete_all":
            storage.delete_all()
        else:
            storage.delete_items(items)
        assert path.stat().st_size < SMALL


def test_positions_go_on_after_the_file_has_shrunk(path: Path) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        items = fill(storage)
        (before,) = storage.push_many("bob", [Message(b"stays", None)])
        storage.delete("bob", items)
        assert path.stat().st_size < SMALL
        assert [stored.position for stored in storage.get_page("bob", None, 10)] == [before]
        assert storage.push("bob", Message(b"next", None)) > before


def test_a_file_left_by_a_killed_process_shrinks_when_it_is_opened(
    path: Path, run_child: Callable[..., str]
) -> None:
    code = """if True:
        import os, sys
        from snakemq.message import Message
        from snakemq.storage.sqlite import SqliteQueuesStorage, _space

        _space.Space._shrink = lambda *args, **kwargs: None  # as 2.0 did
        storage = SqliteQueuesStorage(sys.argv[1])
        storage.push_many("bob", [Message(bytes(4000), None) for _ in range(2000)])
        storage.delete_all()
        storage.close()
    """
    run_child(code, path)
    assert path.stat().st_size > 8_000_000
    with closing(SqliteQueuesStorage(path)):
        assert path.stat().st_size < SMALL


def test_a_file_that_is_full_or_half_full_is_left_alone(path: Path, query: Any) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        items = fill(storage)
        statements: list[str] = []
        storage._database.connection.set_trace_callback(statements.append)
        storage.delete("bob", items[:1000])
        assert "VACUUM" not in statements
        storage._database.connection.set_trace_callback(None)
    assert path.stat().st_size > 8_000_000


def test_shrinking_is_not_tried_at_each_deletion(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(_space, "monotonic", lambda: now)
    with closing(SqliteQueuesStorage(path)) as storage:
        statements: list[str] = []
        storage._database.connection.set_trace_callback(statements.append)
        for _ in range(3):
            storage.delete("bob", fill(storage))
        assert statements.count("VACUUM") == 1
        now += _space.INTERVAL
        storage.delete("bob", [])
        assert statements.count("VACUUM") == 2
        storage._database.connection.set_trace_callback(None)


def test_a_disk_without_room_to_shrink_costs_one_line_in_the_log(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class NoRoom:
        def __init__(self, connection: sqlite3.Connection) -> None:
            self.connection = connection

        def execute(self, statement: str) -> sqlite3.Cursor:
            if statement == "VACUUM":
                raise sqlite3.OperationalError("database or disk is full")
            return self.connection.execute(statement)

    with closing(SqliteQueuesStorage(path)) as storage:
        items = fill(storage)
        monkeypatch.setattr(
            storage._database.space, "_connection", NoRoom(storage._database.connection)
        )
        storage.delete("bob", items)
        lines = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert len(lines) == 1
        assert "could not shrink: database or disk is full" in lines[0].getMessage()
        assert storage.get_queues() == []


def test_the_log_of_a_large_batch_is_cut_afterwards(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    with closing(SqliteQueuesStorage(path)) as storage:
        storage.push_many("bob", [Message(bytes(4000), None) for _ in range(5000)])
        assert log.stat().st_size > 20_000_000
        for _ in range(10):
            storage.push("bob", Message(b"", None))
        assert log.stat().st_size < 5_000_000
