"""Errors of the file system are explained, and cost nothing that was accepted."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.storage.sqlite import SqliteQueuesStorage


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="it is a directory") as caught:
        SqliteQueuesStorage(tmp_path)
    assert not caught.value.temporary
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"the directory '.*nowhere' does not exist"):
        SqliteQueuesStorage(tmp_path / "nowhere" / "queues.db")
    assert os.listdir(tmp_path) == []


def test_another_kind_of_file_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"I am not a database. " * 100)
    with pytest.raises(StorageError, match="not a database") as caught:
        SqliteQueuesStorage(path)
    assert not caught.value.temporary
    assert path.read_bytes() == b"I am not a database. " * 100
    assert os.listdir(path.parent) == [path.name]


def test_a_damaged_file_is_called_damaged(path: Path) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        storage.push_many("peer", [Message(bytes(1000), None) for _ in range(100)])
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 4096 * 20)
    with pytest.raises(StorageError, match=r"malformed.*damaged") as caught:
        SqliteQueuesStorage(path)
    assert not caught.value.temporary


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """Yield a directory of a user whose rights the test has, because root may do anything."""
    import tempfile

    directory = Path(tempfile.mkdtemp())
    was_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if was_root:
        os.chown(directory, 65534, 65534)
        os.seteuid(65534)
    try:
        yield directory
    finally:
        if was_root:
            os.seteuid(0)
        directory.chmod(0o700)
        shutil.rmtree(directory)


@pytest.mark.skipif(sys.platform == "win32", reason="directories have no such permission there")
def test_a_read_only_directory_is_an_error(unprivileged: Path) -> None:
    unprivileged.chmod(0o500)
    with pytest.raises(StorageError, match="directory must be") as caught:
        SqliteQueuesStorage(unprivileged / "queues.db")
    assert not caught.value.temporary


@pytest.mark.skipif(sys.platform == "win32", reason="directories have no such permission there")
def test_a_file_in_a_read_only_directory_is_an_error(unprivileged: Path) -> None:
    path = unprivileged / "queues.db"
    with closing(SqliteQueuesStorage(path)) as storage:
        storage.push("peer", Message(b"kept", None))
    unprivileged.chmod(0o500)
    with pytest.raises(StorageError, match="directory must be"):
        SqliteQueuesStorage(path)
    unprivileged.chmod(0o700)
    with closing(SqliteQueuesStorage(path)) as storage:
        assert len(storage.get_items("peer")) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a read-only file is another matter there")
def test_a_read_only_file_is_an_error(unprivileged: Path) -> None:
    path = unprivileged / "queues.db"
    SqliteQueuesStorage(path).close()
    path.chmod(0o400)
    with pytest.raises(StorageError, match=r"queues.db' is not writable") as caught:
        SqliteQueuesStorage(path)
    assert not caught.value.temporary


def test_a_full_disk_is_temporary_and_leaves_what_was_accepted(path: Path) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        # This gives the same SQLITE_FULL as a full disk, without needing one.
        storage._database.connection.execute("PRAGMA max_page_count=50")
        accepted = push_until_it_fails(storage)
        assert accepted
        with pytest.raises(StorageError, match="no space left"):
            storage.push_many("peer", [Message(bytes(5000), None) for _ in range(3)])
        assert [item.uuid for item in storage.get_items("peer")] == accepted
        storage._database.connection.execute("PRAGMA max_page_count=5000")
        last = Message(bytes(5000), None)
        storage.push("peer", last)
        assert [item.uuid for item in storage.get_items("peer")] == [*accepted, last.uuid]


def push_until_it_fails(storage: SqliteQueuesStorage) -> list[bytes]:
    accepted: list[bytes] = []

    def push_forever() -> None:
        while True:
            item = Message(bytes(5000), None)
            storage.push("peer", item)
            accepted.append(item.uuid)

    with pytest.raises(StorageError, match="no space left") as caught:
        push_forever()
    assert caught.value.temporary
    return accepted


# Beyond the limit the system refuses to write, in the middle of a file, like a full disk.
LIMITED = """
import resource, sys
from contextlib import closing
from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.storage.sqlite import SqliteQueuesStorage
storage = SqliteQueuesStorage(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
accepted = []
try:
    while True:
        item = Message(bytes(5000), None)
        storage.push("peer", item)
        accepted.append(item.uuid)
except StorageError:
    pass
assert [item.uuid for item in storage.get_items("peer")] == accepted
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
storage.push("peer", Message(b"again", None))
print(len(accepted))
storage.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file size there")
def test_a_write_that_the_system_refuses_costs_nothing_that_was_accepted(
    path: Path, run_child: Callable[..., str]
) -> None:
    accepted = int(run_child(LIMITED, path))
    assert accepted > 5
    with closing(SqliteQueuesStorage(path)) as storage:
        items = storage.get_items("peer")
        assert len(items) == accepted + 1
        assert items[-1].data == b"again"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs Linux and root")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_really_full_disk(small_disk: Path) -> None:
    path = small_disk / "queues.db"
    with closing(SqliteQueuesStorage(path)) as storage:
        accepted = push_until_it_fails(storage)
        assert [item.uuid for item in storage.get_items("peer")] == accepted
    with closing(SqliteQueuesStorage(path)) as storage:
        assert [item.uuid for item in storage.get_items("peer")] == accepted
        more_space = ["mount", "-o", "remount,size=4m", str(small_disk)]
        subprocess.run(more_space, check=True)
        last = Message(bytes(5000), None)
        storage.push("peer", last)
        storage.delete("peer", storage.get_items("peer")[:-1])
        assert [item.uuid for item in storage.get_items("peer")] == [last.uuid]


def test_close_releases_the_file_even_when_it_cannot_write(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        storage.push("peer", Message(b"", None))
        storage._database.connection.execute("PRAGMA query_only=1")
    assert "the clock could not be written at close" in caplog.text
    with closing(SqliteQueuesStorage(path, busy_timeout=0)) as storage:
        assert len(storage.get_items("peer")) == 1
