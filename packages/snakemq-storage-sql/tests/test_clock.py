"""Ttl counts down while the storage is open, and only then."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from snakemq.message import Message
from snakemq.queues.parts import ttl_left
from snakemq.storage.sqlite import SqliteQueuesStorage

Open = Callable[[], SqliteQueuesStorage]


@pytest.fixture
def open_storage(path: Path, clock: Any) -> Open:
    return lambda: SqliteQueuesStorage(path, clock=clock)


def ttls(storage: SqliteQueuesStorage) -> list[float | None]:
    return [item.ttl for item in storage.get_items("peer")]


@pytest.mark.parametrize(
    ("ttl", "stored_at", "now", "left"),
    [
        (None, 0.0, 1e9, None),
        (10.0, 5.0, 5.0, 10.0),
        (10.0, 5.0, 7.5, 7.5),
        (10.0, 5.0, 15.0, 0.0),
        (10.0, 5.0, 100.0, 0.0),
        (0.0, 5.0, 5.0, 0.0),
        (10.0, 7.0, 5.0, 10.0),  # a clock that lost time does not lengthen a ttl
    ],
)
def test_what_is_left_of_a_ttl(
    ttl: float | None, stored_at: float, now: float, left: float | None
) -> None:
    assert ttl_left(ttl, stored_at, now) == left


def test_ttl_is_exact_while_no_time_passes(open_storage: Open, clock: Any) -> None:
    values = [None, 0.0, 0.1, 1 / 3, 1e-9, 3600.7, 0xFFFFFFFE]
    clock.now = 0.3
    for _ in range(3):
        with closing(open_storage()) as storage:
            storage.delete_all()
            storage.push_many("peer", [Message(b"", ttl) for ttl in values])
            assert ttls(storage) == values
        clock.now += 0.7
        with closing(open_storage()) as storage:
            assert ttls(storage) == values
            clock.now += 0.1


def test_ttl_counts_down_while_the_storage_is_open(open_storage: Open, clock: Any) -> None:
    with closing(open_storage()) as storage:
        storage.push("peer", Message(b"", 10))
        clock.now += 4
        storage.push("peer", Message(b"", 10))
        assert ttls(storage) == [6, 10]
        clock.now += 7
        assert ttls(storage) == [0, 3]


def test_ttl_stands_still_while_the_storage_is_closed(open_storage: Open, clock: Any) -> None:
    with closing(open_storage()) as storage:
        storage.push("peer", Message(b"", 10))
        clock.now += 4
    clock.now += 1_000_000
    with closing(open_storage()) as storage:
        assert ttls(storage) == [6]
        clock.now += 1
    clock.now = 5.0  # another machine was booted: a monotonic clock has any origin
    with closing(open_storage()) as storage:
        assert ttls(storage) == [5]


def test_passing_time_rewrites_no_row(open_storage: Open, clock: Any) -> None:
    with closing(open_storage()) as storage:
        storage.push_many("peer", [Message(b"", 10) for _ in range(10)])
        before = storage._database.connection.total_changes
        clock.now += 4
        assert ttls(storage) == [6] * 10
        storage.checkpoint_clock()
        assert storage._database.connection.total_changes == before + 1


def test_update_items_ttl_starts_counting_again(open_storage: Open, clock: Any) -> None:
    with closing(open_storage()) as storage:
        item = Message(b"", 10)
        storage.push("peer", item)
        clock.now += 4
        item.ttl = 8.0
        storage.update_items_ttl([item])
        assert ttls(storage) == [8]
        clock.now += 1
    with closing(open_storage()) as storage:
        assert ttls(storage) == [7]


@pytest.mark.parametrize(
    "write",
    [
        lambda storage: storage.push("other", Message(b"", None)),
        lambda storage: storage.push_many("other", [Message(b"", None)]),
        lambda storage: storage.delete("other", [Message(b"", None)]),
        lambda storage: storage.update_items_ttl([]),
        lambda storage: storage.checkpoint_clock(),
    ],
    ids=["push", "push_many", "delete", "update_items_ttl", "checkpoint_clock"],
)
def test_a_crash_forgets_only_the_time_since_the_last_write(
    open_storage: Open, clock: Any, path: Path, write: Callable[[SqliteQueuesStorage], None]
) -> None:
    crashed = path.with_name("crashed.db")
    with closing(open_storage()) as storage:
        storage.push("peer", Message(b"", 10))
        clock.now += 3
        write(storage)
        clock.now += 2
        for suffix in ("", "-wal"):  # what a crash leaves on the disk
            shutil.copy(f"{path}{suffix}", f"{crashed}{suffix}")
    with closing(SqliteQueuesStorage(crashed, clock=clock)) as storage:
        assert ttls(storage) == [7]


def test_a_damaged_clock_does_not_stop_the_storage(
    open_storage: Open, clock: Any, query: Callable[..., list[Any]]
) -> None:
    with closing(open_storage()) as storage:
        storage.push("peer", Message(b"", 10))
        clock.now += 3
    for damage in ("UPDATE clock SET seconds = 'x'", "DELETE FROM clock"):
        query(damage)
        with closing(open_storage()) as storage:
            assert ttls(storage) == [10]
            clock.now += 3
            assert ttls(storage) == [7]
