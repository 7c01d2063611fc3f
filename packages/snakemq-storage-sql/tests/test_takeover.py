"""A file of snakeMQ 1.6 is taken over in place, in its order, with a backup."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.storage.sqlite import SqliteQueuesStorage
from snakemq.storage.sqlite._schema import SCHEMA_VERSION

WriteV16 = Callable[..., Path]
Query = Callable[..., list[Any]]


def uuid(n: int) -> bytes:
    """Return uuids that descend, so an order by uuid does not pass for the order of the rows."""
    return (0xFFFF - n).to_bytes(16, "big")


def row(n: int, queue_name: str = "peer", **changes: Any) -> tuple[Any, ...]:
    """A row as 1.6 on Python 3 writes it."""
    columns = {
        "queue_name": queue_name,
        "uuid": uuid(n).hex().encode(),
        "data": b"data %d" % n,
        "ttl": None,
        "flags": 1,
    } | changes
    return tuple(columns.values())


def backup_of(path: Path) -> Path:
    return path.with_name(path.name + ".snakemq-1.6-backup")


def content(file: Path) -> bytes:
    """Return a database file without the counters in its header that tell caches of a change."""
    data = file.read_bytes()
    return data[:24] + data[28:92] + data[96:]


def items_of(path: Path, queue_name: str = "peer") -> Sequence[Message]:
    with closing(SqliteQueuesStorage(path)) as storage:
        return storage.get_items(queue_name)


def test_messages_keep_the_order_and_the_content_of_16(write_v16: WriteV16) -> None:
    path = write_v16(
        [
            row(1),
            row(2, "other"),
            row(3, ttl=12.75, flags=0xFFFFFFFF, data=bytes(range(256)) * 5000),
            row(4, data=b"", ttl=0.0),
            row(5, "Jos\u00e9 \U0001f40d"),
        ]
    )
    with closing(SqliteQueuesStorage(path)) as storage:
        first, third, fourth = storage.get_items("peer")
        assert [first.uuid, third.uuid, fourth.uuid] == [uuid(1), uuid(3), uuid(4)]
        assert [first.data, fourth.data] == [b"data 1", b""]
        assert third.data == bytes(range(256)) * 5000
        assert [first.ttl, fourth.ttl] == [None, 0.0]
        assert third.ttl == pytest.approx(12.75, abs=10)
        assert [first.flags, third.flags, fourth.flags] == [1, 0xFFFFFFFF, 1]
        assert set(storage.get_queues()) == {"peer", "other", "Jos\u00e9 \U0001f40d"}
        storage.push("peer", Message(b"new", None))
        assert [item.data for item in storage.get_items("peer")][-1] == b"new"
    assert len(items_of(path)) == 4


def test_ttl_goes_on_where_16_left_it(write_v16: WriteV16, clock: Any) -> None:
    path = write_v16([row(1, ttl=100.0), row(2, ttl=-3.0), row(3, ttl=7), row(4, ttl=1e18)])
    with closing(SqliteQueuesStorage(path, clock=clock)) as storage:
        assert [item.ttl for item in storage.get_items("peer")] == [100.0, 0.0, 7.0, None]
        clock.now += 10
        assert [item.ttl for item in storage.get_items("peer")] == [90.0, 0.0, 0.0, None]


def test_rows_of_python_2_are_text(write_v16: WriteV16) -> None:
    path = write_v16([row(1, uuid=uuid(1).hex(), data="text of Python 2"), row(2)])
    assert [(item.uuid, item.data) for item in items_of(path)] == [
        (uuid(1), b"text of Python 2"),
        (uuid(2), b"data 2"),
    ]


@pytest.mark.parametrize(
    "settings",
    [
        ["PRAGMA page_size=512"],
        ["PRAGMA page_size=65536"],
        ["PRAGMA encoding='UTF-16le'"],
        ["PRAGMA encoding='UTF-16be'"],
        ["PRAGMA journal_mode=WAL"],
        ["PRAGMA auto_vacuum=FULL"],
    ],
    ids=lambda settings: settings[0],
)
def test_any_kind_of_file_is_taken_over(write_v16: WriteV16, settings: list[str]) -> None:
    rows = [row(n, "Jos\u00e9 \U0001f40d", uuid=uuid(n).hex(), data="text") for n in range(50)]
    path = write_v16(rows, *settings)
    for _ in range(2):
        items = items_of(path, "Jos\u00e9 \U0001f40d")
        assert [item.uuid for item in items] == [uuid(n) for n in range(50)]
        assert {item.data for item in items} == {b"text"}


def test_an_empty_file_of_16_is_taken_over(write_v16: WriteV16, query: Query) -> None:
    path = write_v16([])
    assert items_of(path) == []
    assert query("SELECT 1 FROM sqlite_master WHERE name = 'items'") == []


def test_a_file_of_0_bytes_is_a_new_storage(path: Path) -> None:
    path.touch()
    assert items_of(path) == []
    assert os.listdir(path.parent) == [path.name]


def test_other_tables_in_the_file_stay(write_v16: WriteV16, query: Query) -> None:
    path = write_v16([row(1)])
    query("CREATE TABLE mine (x)")
    query("INSERT INTO mine VALUES (7)")
    assert len(items_of(path)) == 1
    assert query("SELECT x FROM mine") == [(7,)]


def test_the_backup_is_the_file_as_it_was(write_v16: WriteV16, query: Query) -> None:
    rows = [row(n) for n in range(1000)]
    path = write_v16(rows)
    before = content(path)
    items_of(path)
    assert content(backup_of(path)) == before
    assert sorted(os.listdir(path.parent)) == [path.name, backup_of(path).name]
    shutil.copy(backup_of(path), path)
    assert query("SELECT * FROM items ORDER BY rowid") == rows
    assert len(items_of(path)) == 1000


def test_an_existing_backup_is_not_overwritten(write_v16: WriteV16) -> None:
    path = write_v16([row(1)])
    before = content(path)
    backup = backup_of(path)
    backup.write_bytes(b"first")
    Path(f"{backup}-2").write_bytes(b"second")
    items_of(path)
    assert backup.read_bytes() == b"first"
    assert Path(f"{backup}-2").read_bytes() == b"second"
    assert content(Path(f"{backup}-3")) == before


def test_a_half_finished_backup_starts_over(write_v16: WriteV16) -> None:
    path = write_v16([row(1)])
    before = content(path)
    Path(f"{backup_of(path)}.partial").write_bytes(b"half")
    Path(f"{backup_of(path)}.partial-journal").write_bytes(b"half")
    items_of(path)
    assert content(backup_of(path)) == before
    assert sorted(os.listdir(path.parent)) == [path.name, backup_of(path).name]


def test_the_second_opening_takes_nothing_over(write_v16: WriteV16) -> None:
    path = write_v16([row(1), row(2)])
    with closing(SqliteQueuesStorage(path)) as storage:
        storage.delete("peer", storage.get_items("peer")[:1])
    assert [item.uuid for item in items_of(path)] == [uuid(2)]
    assert len(os.listdir(path.parent)) == 2


UNREADABLE = {
    "uuid is not hexadecimal": row(2, uuid=b"z" * 32),
    "uuid must be 16 bytes": row(2, uuid=b"aa" * 15),
    "uuid is NULL": row(2, uuid=None),
    "uuid is TEXT of another world": row(2, uuid="\U0001f40d" * 8),
    "data is NULL": row(2, data=None),
    "data is INTEGER": row(2, data=5),
    "ttl is TEXT": row(2, ttl="soon"),
    "ttl is BLOB": row(2, ttl=b"\x00"),
    "flags is NULL": row(2, flags=None),
    "flags is REAL": row(2, flags=1.5),
    "flags must fit": row(2, flags=1 << 32),
    "flags are negative": row(2, flags=-1),
    "queue_name is NULL": row(2, None),  # type: ignore[arg-type]
    "queue_name is BLOB": row(2, b"peer"),  # type: ignore[arg-type]
    "already": row(1, data=b"the second of the same uuid"),
}


@pytest.mark.parametrize("bad", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_row_that_cannot_be_read_is_set_aside(
    write_v16: WriteV16, query: Query, caplog: pytest.LogCaptureFixture, bad: tuple[Any, ...]
) -> None:
    path = write_v16([row(1), bad, row(3)])
    assert [item.uuid for item in items_of(path)] == [uuid(1), uuid(3)]
    kept = query("SELECT queue_name, uuid, data, ttl, flags FROM set_aside")
    assert kept == [bad]
    reports = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.name for record in reports] == ["snakemq.storage.sqlite"]
    assert "moved to the table set_aside, id 1" in reports[0].getMessage()


def test_text_that_is_not_utf8_is_set_aside(write_v16: WriteV16, query: Query) -> None:
    path = write_v16([row(1), row(2), row(3)])
    query("UPDATE items SET queue_name = CAST(x'70ff' AS TEXT) WHERE rowid = 2")
    assert [item.uuid for item in items_of(path)] == [uuid(1), uuid(3)]
    assert query("SELECT queue_name FROM set_aside") == [(b"p\xff",)]


def test_a_crash_of_16_in_the_middle_of_a_commit_is_undone_first(
    write_v16: WriteV16, run_child: Callable[..., str]
) -> None:
    path = write_v16([row(1)], "PRAGMA page_size=512")
    code = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA cache_size=1")
connection.executemany("INSERT INTO items VALUES ('peer', 'x', ?, 1, 1)", [(bytes(9000),)] * 50)
os.kill(os.getpid(), signal.SIGKILL)
"""
    run_child(code, path, returncode=-9)
    assert Path(f"{path}-journal").stat().st_size > 0
    assert [item.uuid for item in items_of(path)] == [uuid(1)]
    with closing(sqlite3.connect(backup_of(path))) as connection:
        assert connection.execute("SELECT count(*) FROM items").fetchone() == (1,)


# It kills itself just before its n-th SQL statement, or before the n-th call of a function that
# works on files. If there are fewer of these, it exits with 0.
KILLED = """
import os, signal, sqlite3, sys
left = int(sys.argv[2])
def step(*_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
def stepping(function):
    def call(*args, **kwargs):
        step()
        return function(*args, **kwargs)
    return call
os.rename, os.unlink = stepping(os.rename), stepping(os.unlink)
class Connection(sqlite3.Connection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.set_trace_callback(step)
    def backup(self, target, **options):
        super().backup(target, pages=1, progress=step)
connect = sqlite3.connect
sqlite3.connect = lambda *args, **kwargs: connect(*args, factory=Connection, **kwargs)
from snakemq.storage.sqlite import SqliteQueuesStorage
SqliteQueuesStorage(sys.argv[1])
"""


def test_a_kill_at_any_step_leaves_the_old_or_the_new_file(
    write_v16: WriteV16, start_child: Any, tmp_path: Path
) -> None:
    rows = [row(1), row(2, data=None), row(3)]
    original = write_v16(rows)
    states = []
    for n in range(1000):
        folder = tmp_path / str(n)
        folder.mkdir()
        path = Path(shutil.copy(original, folder))
        with start_child(KILLED, path, n) as process:
            finished = process.wait() == 0
        states.append(state := state_of(path, rows))
        if state == "new":
            with closing(sqlite3.connect(backup_of(path))) as backup:
                assert backup.execute("SELECT * FROM items ORDER BY rowid").fetchall() == rows
        assert [item.uuid for item in items_of(path)] == [uuid(1), uuid(3)]
        if finished:
            break
    assert states[0] == "old"
    assert states[-1] == "new"
    assert states == sorted(states, reverse=True)  # once it is new it stays new
    assert 20 < len(states) < 100


def state_of(path: Path, rows: list[tuple[Any, ...]]) -> str:
    """Read a copy, because reading rolls back a torn transaction."""
    look = path.parent / "look"
    look.mkdir()
    for name in os.listdir(path.parent):
        if name.startswith(path.name) and "backup" not in name:
            shutil.copy(path.parent / name, look)
    with closing(sqlite3.connect(look / path.name)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if "items" in tables:
            assert tables == {"items"}
            assert version == 0
            assert connection.execute("SELECT * FROM items ORDER BY rowid").fetchall() == rows
            return "old"
        assert version == SCHEMA_VERSION
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (2,)
        assert connection.execute("SELECT count(*) FROM set_aside").fetchone() == (1,)
        return "new"


def test_without_a_backup_nothing_is_changed(
    write_v16: WriteV16, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_v16([row(1)])
    before = path.read_bytes()

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", no_space)
    with pytest.raises(StorageError, match="No space left"):
        SqliteQueuesStorage(path)
    assert path.read_bytes() == before
    monkeypatch.undo()
    assert len(items_of(path)) == 1
