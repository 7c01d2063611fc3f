"""A file says whose it is and which version it has."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.storage.sqlite import SqliteQueuesStorage
from snakemq.storage.sqlite._schema import APPLICATION_ID, SCHEMA_VERSION

Query = Callable[..., list[Any]]


def test_the_file_says_whose_it_is_and_its_version(path: Path, query: Query) -> None:
    SqliteQueuesStorage(path).close()
    assert query("PRAGMA application_id") == [(APPLICATION_ID,)]
    assert query("PRAGMA user_version") == [(SCHEMA_VERSION,)] == [(1,)]


def test_a_newer_version_is_refused_and_left_alone(path: Path, query: Query) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        storage.push("peer", Message(b"", None))
    query("PRAGMA user_version=2")
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"schema version 2, .* up to 1; upgrade ") as caught:
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
