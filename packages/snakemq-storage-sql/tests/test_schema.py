"""A file says whose it is and which version it has."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.storage.sqlite import SqliteQueuesStorage, _schema
from snakemq.storage.sqlite._schema import APPLICATION_ID, SCHEMA_VERSION

Query = Callable[..., list[Any]]

VERSION_1 = (
    """
    CREATE TABLE messages (
        seq INTEGER PRIMARY KEY,
        queue_name TEXT NOT NULL,
        uuid BLOB NOT NULL,
        ttl REAL,                  -- seconds that were left at stored_at; NULL: no limit
        stored_at REAL NOT NULL,   -- reading of the owners' clock, see table clock
        flags INTEGER NOT NULL,
        data BLOB NOT NULL
    )
    """,
    "CREATE INDEX messages_in_order ON messages (queue_name)",
    "CREATE UNIQUE INDEX messages_by_uuid ON messages (uuid, queue_name)",
    "CREATE TABLE clock (seconds REAL NOT NULL)",
    "INSERT INTO clock VALUES (100.0)",
    """
    CREATE TABLE inbox (
        ident TEXT NOT NULL,
        seq INTEGER NOT NULL,
        uuid BLOB NOT NULL,
        PRIMARY KEY (ident, seq)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE set_aside (
        id INTEGER PRIMARY KEY,
        reason TEXT NOT NULL,
        queue_name, uuid, ttl, stored_at, flags, data
    )
    """,
    "PRAGMA application_id=0x736e4d51",
    "PRAGMA user_version=1",
)
"""What 2.0.0 creates. Never change it: there are such files."""


def insert(position: int, uuid: bytes, flags: int, ttl: float | None = None) -> str:
    left = "NULL" if ttl is None else ttl
    values = f"{position}, 'bob', x'{uuid.hex()}', {left}, 90.0, {flags}, x'00ff'"
    return f"INSERT INTO messages VALUES ({values})"


@pytest.fixture
def file_of_2_0(path: Path, query: Query) -> Path:
    """A file with three messages, of which the second one cannot be read, and with an inbox."""
    for statement in (
        *VERSION_1,
        insert(3, b"a" * 16, 1, 60.0),
        insert(5, b"b" * 16, -1),
        insert(9, b"c" * 16, 0xFFFFFFFF),
        "INSERT INTO inbox VALUES ('alice', 1, x'00112233445566778899aabbccddeeff')",
        "INSERT INTO set_aside VALUES (1, 'broken', 'bob', NULL, NULL, NULL, 7, 'x')",
    ):
        query(statement)
    return path


def test_the_file_says_whose_it_is_and_its_version(path: Path, query: Query) -> None:
    SqliteQueuesStorage(path).close()
    assert query("PRAGMA application_id") == [(APPLICATION_ID,)]
    assert query("PRAGMA user_version") == [(SCHEMA_VERSION,)] == [(2,)]


def test_a_newer_version_is_refused_and_left_alone(path: Path, query: Query) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        storage.push("peer", Message(b"", None))
    query("PRAGMA user_version=3")
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"schema version 3, .* up to 2; upgrade ") as caught:
        SqliteQueuesStorage(path)
    assert not caught.value.temporary
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE bookmarks (url)"],
        ["CREATE TABLE items (id, name)"],  # a very common name for a table
        ["CREATE TABLE messages (id, text)"],
        ["CREATE TABLE bookmarks (url)", "PRAGMA user_version=1"],
        ["PRAGMA application_id=7"],
    ],
    ids=lambda statements: statements[-1],
)
def test_a_foreign_database_is_refused_and_left_alone(
    path: Path, query: Query, statements: list[str]
) -> None:
    for statement in statements:
        query(statement)
    before = path.read_bytes()
    with pytest.raises(StorageError, match="not a database of snakeMQ") as caught:
        SqliteQueuesStorage(path)
    assert not caught.value.temporary
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_of_2_0_is_brought_up_to_date_where_it_is(file_of_2_0: Path, query: Query) -> None:
    headers = {"content-type": "text/plain"}
    with closing(SqliteQueuesStorage(file_of_2_0, clock=lambda: 5.0)) as storage:
        first, last = storage.get_items("bob")
        assert (first.uuid, first.data, first.ttl, first.flags) == (b"a" * 16, b"\0\xff", 50.0, 1)
        assert (last.uuid, last.data, last.ttl, last.flags) == (
            b"c" * 16,
            b"\0\xff",
            None,
            0xFFFFFFFF,
        )
        assert first.headers == last.headers == {}
        assert storage.recall("alice", 10) == [bytes.fromhex("00112233445566778899aabbccddeeff")]
        assert storage.push("bob", Message(b"new", None, headers=headers)) > 9
    with closing(SqliteQueuesStorage(file_of_2_0)) as storage:
        assert [item.headers for item in storage.get_items("bob")] == [{}, {}, headers]
    assert query("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert query("SELECT id, flags, headers FROM set_aside") == [(1, 7, None), (2, -1, None)]
    assert [file.name for file in file_of_2_0.parent.iterdir()] == [file_of_2_0.name]


def test_a_new_file_is_like_one_that_was_brought_up_to_date(
    file_of_2_0: Path, query: Query
) -> None:
    found = []
    for path in (file_of_2_0, file_of_2_0.with_name("new.db")):
        SqliteQueuesStorage(path).close()
        with closing(sqlite3.connect(path)) as connection:
            schema = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name")
            found.append(schema.fetchall())
    assert found[0] == found[1]


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    file_of_2_0: Path, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = query("SELECT name, sql FROM sqlite_master")
    broken = (*_schema._MIGRATIONS[:-1], (*_schema._MIGRATIONS[-1], "SELECT * FROM missing"))
    with monkeypatch.context() as patch:
        patch.setattr(_schema, "_MIGRATIONS", broken)
        with pytest.raises(StorageError, match="no such table"):
            SqliteQueuesStorage(file_of_2_0)
    assert query("SELECT name, sql FROM sqlite_master") == before
    assert query("PRAGMA user_version") == [(1,)]
    with closing(SqliteQueuesStorage(file_of_2_0)) as storage:
        assert storage.count("bob") == 3


def test_a_file_can_be_made_one_of_2_0_again(path: Path, query: Query) -> None:
    """These are the statements that storages.md tells."""
    with closing(SqliteQueuesStorage(path)) as storage:
        storage.push("bob", Message(b"data", None, headers={"a": "b"}))
    for statement in (
        "ALTER TABLE messages DROP COLUMN headers",
        "ALTER TABLE set_aside DROP COLUMN headers",
        "PRAGMA user_version=1",
    ):
        query(statement)
    with closing(sqlite3.connect(path.with_name("old.db"))) as connection:
        for statement in VERSION_1:
            connection.execute(statement)
        for table in ("messages", "set_aside", "clock", "inbox"):
            columns = f"SELECT * FROM pragma_table_info('{table}')"
            assert query(columns) == connection.execute(columns).fetchall()
    assert query("SELECT queue_name, data FROM messages") == [("bob", b"data")]
    with closing(SqliteQueuesStorage(path)) as storage:
        assert [item.headers for item in storage.get_items("bob")] == [{}]
