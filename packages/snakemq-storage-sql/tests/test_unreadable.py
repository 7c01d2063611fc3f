"""A row that cannot be read is set aside and reported; it does not hold up its queue."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from snakemq.message import Message
from snakemq.storage.sqlite import SqliteQueuesStorage

DAMAGE = {
    "uuid is TEXT": "uuid = 'sixteen bytes ok'",
    "uuid is short": "uuid = x'00'",
    "uuid is INTEGER": "uuid = 7",
    "data is TEXT": "data = 'text'",
    "data is undecodable TEXT": "data = CAST(x'ff' AS TEXT)",
    "data is INTEGER": "data = 7",
    "flags is TEXT": "flags = 'x'",
    "flags too large": "flags = 4294967296",
    "flags negative": "flags = -1",
    "ttl is TEXT": "ttl = 'x'",
    "ttl is BLOB": "ttl = x'00'",
    "ttl is infinite": "ttl = 9e999",
    "headers is TEXT": "headers = 'x'",
    "headers is INTEGER": "headers = 7",
    "headers is cut": "headers = x'0161'",
    "headers has a key in upper case": "headers = x'01410000'",
    "stored_at is TEXT": "stored_at = 'x', ttl = 5",
    "queue_name is BLOB": "queue_name = x'00'",
    "queue_name is not UTF-8": "queue_name = CAST(x'ff' AS TEXT)",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_row_is_set_aside(
    path: Path,
    query: Callable[..., list[Any]],
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        storage.push_many("peer", [Message(b"%d" % n, None) for n in range(3)])
        storage.push("other", Message(b"other", None))
    query(f"UPDATE messages SET {damage} WHERE seq = 2")
    (damaged,) = query(
        "SELECT CAST(queue_name AS BLOB), uuid, ttl, flags FROM messages WHERE seq = 2"
    )
    for opening in range(2):
        with closing(SqliteQueuesStorage(path)) as storage:
            assert storage.get_queues() == ["other", "peer"]
            assert [item.data for item in storage.get_items("peer")] == [b"0", b"2"]
            assert [item.data for item in storage.get_items("other")] == [b"other"]
        reports = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(reports) == 1, f"opening {opening}"
        assert reports[0].name == "snakemq.storage.sqlite"
    kept = query("SELECT CAST(queue_name AS BLOB), uuid, ttl, flags FROM set_aside")

    assert kept == [damaged]


def test_even_the_last_row_may_be_damaged(path: Path, query: Callable[..., list[Any]]) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        storage.push_many("peer", [Message(b"%d" % n, 60) for n in range(3)])
    query("UPDATE messages SET stored_at = 'x' WHERE seq = 3")
    with closing(SqliteQueuesStorage(path)) as storage:
        storage.push("peer", Message(b"3", None))
        assert [item.data for item in storage.get_items("peer")] == [b"0", b"1", b"3"]
