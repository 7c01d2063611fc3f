"""Writers that come together share a commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from snakemq.message import Message
from snakemq.queues.parts import GroupCommit
from snakemq.storage.sqlite import SqliteQueuesStorage


class CountingLock:
    """A lock that says how many have come to it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.came = threading.Semaphore(0)

    def __enter__(self) -> None:
        self.came.release()
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


class Commits:
    """A commit that fails for some rows."""

    def __init__(self) -> None:
        self.lock = CountingLock()
        self.calls: list[list[str]] = []
        self.failing: dict[str, BaseException] = {}
        self.group = GroupCommit(self.lock, self.commit)  # type: ignore[arg-type]

    def commit(self, rows: Sequence[str]) -> None:
        self.calls.append(list(rows))
        for row in rows:
            if row in self.failing:
                raise self.failing[row]

    def write_together(self, *rows: str) -> dict[str, BaseException | None]:
        """Each row from a thread of its own, all of them while a commit is under way."""
        outcome: dict[str, BaseException | None] = {}

        def write(row: str) -> None:
            try:
                self.group.write([row])
                outcome[row] = None
            except BaseException as error:
                outcome[row] = error

        threads = []
        with self.lock.lock:
            for row in rows:
                threads.append(threading.Thread(target=write, args=(row,)))
                threads[-1].start()
                assert self.lock.came.acquire(timeout=60)
        for thread in threads:
            thread.join(60)
        return outcome


def test_a_lone_writer_commits_at_once() -> None:
    commits = Commits()
    commits.group.write(["a", "b"])
    commits.group.write(["c"])
    assert commits.calls == [["a", "b"], ["c"]]


def test_writers_that_wait_share_a_commit_in_the_order_of_their_coming() -> None:
    commits = Commits()
    assert commits.write_together(*"abcdefgh") == dict.fromkeys("abcdefgh")
    assert commits.calls == [list("abcdefgh")]


def test_only_the_writer_at_fault_gets_the_error() -> None:
    commits = Commits()
    commits.failing["b"] = fault = ValueError("too large")
    assert commits.write_together(*"abc") == {"a": None, "b": fault, "c": None}
    assert commits.calls == [list("abc"), ["a"], ["b"], ["c"]]


def test_the_others_go_on_when_the_committing_thread_is_interrupted() -> None:
    commits = Commits()
    interrupted: list[Sequence[str]] = []

    def interrupt_once(rows: Sequence[str]) -> None:
        if not interrupted:
            interrupted.append(rows)
            raise KeyboardInterrupt
        commits.calls.append(list(rows))

    commits.group = GroupCommit(commits.lock, interrupt_once)  # type: ignore[arg-type]
    outcome = commits.write_together(*"abcd")
    (failed,) = [row for row, error in outcome.items() if error is not None]
    assert isinstance(outcome[failed], KeyboardInterrupt)
    assert commits.calls == [[row for row in "abcd" if row != failed]]


def test_pushes_of_many_threads_share_commits_of_the_storage(path: Path) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        statements: list[str] = []
        lock = CountingLock()
        storage._group._lock = lock  # type: ignore[assignment]
        storage._connection.set_trace_callback(statements.append)
        items = [Message(b"", None) for _ in range(10)]
        push: Callable[[Message], threading.Thread] = lambda item: threading.Thread(  # noqa: E731
            target=storage.push, args=("peer", item)
        )
        threads = [push(item) for item in items]
        with lock.lock:
            for thread in threads:
                thread.start()
                assert lock.came.acquire(timeout=60)
        for thread in threads:
            thread.join(60)
        assert statements.count("COMMIT") == 1
        assert [item.uuid for item in storage.get_items("peer")] == [item.uuid for item in items]


def test_one_unstorable_push_does_not_fail_those_of_the_other_threads(path: Path) -> None:
    good, bad = Message(b"", None), Message(b"", None)
    bad.flags = 1 << 64
    with closing(SqliteQueuesStorage(path)) as storage:
        storage._group._waiting.clear()
        lock = CountingLock()
        storage._group._lock = lock  # type: ignore[assignment]
        errors: list[Exception] = []

        def push(item: Message) -> None:
            try:
                storage.push("peer", item)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=push, args=(item,)) for item in (good, bad)]
        with lock.lock:
            for thread in threads:
                thread.start()
                assert lock.came.acquire(timeout=60)
        for thread in threads:
            thread.join(60)
        assert len(errors) == 1
        with pytest.raises(Exception, match="too large"):
            raise errors[0]
        assert [item.uuid for item in storage.get_items("peer")] == [good.uuid]
