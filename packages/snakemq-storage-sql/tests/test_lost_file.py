"""A file that is deleted, moved, replaced or emptied while it is open."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.storage.sqlite import SqliteQueuesStorage, _file

pytestmark = pytest.mark.skipif(os.name == "nt", reason="open files cannot be deleted here")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder / "queues.db"


@pytest.fixture
def storage(path: Path) -> Iterator[SqliteQueuesStorage]:
    with closing(SqliteQueuesStorage(path)) as storage:
        storage.push("bob", Message(b"before", None))
        yield storage


def delete(path: Path) -> None:
    path.unlink()


def delete_log(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def delete_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def move_away(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def replace(path: Path) -> None:
    other = path.with_name("other.db")
    with closing(SqliteQueuesStorage(other)):
        pass
    other.replace(path)


def folder_becomes_a_file(path: Path) -> None:
    delete_folder(path)
    path.parent.touch()


def empty(path: Path) -> None:
    os.truncate(path, 0)


CAUSES = [delete, delete_log, delete_folder, move_away, replace, folder_becomes_a_file, empty]


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
def test_the_next_checkpoint_notices_and_pushes_raise(
    storage: SqliteQueuesStorage, path: Path, cause: Callable[[Path], None]
) -> None:
    cause(path)
    with pytest.raises(StorageError, match="while it was open") as caught:
        storage.checkpoint_clock()
    assert not caught.value.temporary
    for call in (
        lambda: storage.push("bob", Message(b"", None)),
        lambda: storage.push_many("bob", [Message(b"", None)]),
        lambda: storage.get_page("bob", None, 10),
        lambda: storage.remember("bob", [b"u" * 16], 10),
    ):
        with pytest.raises(StorageError, match="while it was open"):
            call()


def test_a_push_notices_within_a_second(
    storage: SqliteQueuesStorage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(_file, "monotonic", lambda: now)
    path.unlink()
    now += _file.INTERVAL
    with pytest.raises(StorageError, match="deleted"):
        storage.push("bob", Message(b"", None))


def test_closing_leaves_the_file_of_the_next_storage_alone(
    storage: SqliteQueuesStorage, path: Path, run_child: Callable[..., str]
) -> None:
    """SQLite deletes the log by its name when the last owner closes the database."""
    path.unlink()
    path.with_name(path.name + "-wal").unlink()
    with closing(SqliteQueuesStorage(path)) as following:
        following.push("bob", Message(b"of the next one", None))
        with pytest.raises(StorageError):
            storage.checkpoint_clock()
        storage.close()
        assert path.with_name(path.name + "-wal").exists()
        following.push("bob", Message(b"and more", None))
        following.checkpoint_clock()
    with closing(SqliteQueuesStorage(path)) as again:
        assert [m.data for m in again.get_items("bob")] == [b"of the next one", b"and more"]


def test_a_log_that_was_deleted_is_rescued(storage: SqliteQueuesStorage, path: Path) -> None:
    delete_log(path)
    with pytest.raises(StorageError, match="what was in it is written to the database"):
        storage.checkpoint_clock()
    with closing(SqliteQueuesStorage(path, busy_timeout=0)) as again:
        assert [m.data for m in again.get_items("bob")] == [b"before"]


def test_a_log_is_not_rescued_into_an_emptied_file(
    storage: SqliteQueuesStorage, path: Path
) -> None:
    delete_log(path)
    empty(path)
    with pytest.raises(StorageError, match="what was in it is lost"):
        storage.checkpoint_clock()


def test_a_storage_in_memory_has_no_file_to_lose() -> None:
    with closing(SqliteQueuesStorage(":memory:")) as storage:
        storage.push("bob", Message(b"", None))
        storage.checkpoint_clock()


def test_another_working_directory_does_not_lose_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(SqliteQueuesStorage("relative.db")) as storage:
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        storage.checkpoint_clock()
        storage.push("bob", Message(b"", None))


def test_a_link_to_the_file_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    with closing(SqliteQueuesStorage(tmp_path / "real.db")):
        pass
    link.symlink_to("real.db")
    with closing(SqliteQueuesStorage(link)) as storage:
        storage.push("bob", Message(b"", None))
        storage.checkpoint_clock()
        link.unlink()
        link.symlink_to("nowhere.db")
        with pytest.raises(StorageError, match="deleted"):
            storage.checkpoint_clock()


def test_a_directory_that_becomes_unreadable_proves_nothing(
    storage: SqliteQueuesStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> os.stat_result:
        raise PermissionError(path)

    monkeypatch.setattr("os.stat", refuse)
    storage.checkpoint_clock()
    monkeypatch.undo()
