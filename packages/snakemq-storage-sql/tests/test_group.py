"""Writers that come at the same time share a commit."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.queues.parts import GroupCommit, _group
from snakemq.queues.parts._bell import Bell
from snakemq.storage.sqlite import SqliteQueuesStorage


class Tickets(list[Any]):
    """The tickets of the waiting writers; counts how many have come."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Semaphore(0)

    def append(self, ticket: Any) -> None:
        super().append(ticket)
        self.came.release()


def start_together(group: GroupCommit[Any], writers: Iterable[Callable[[], object]]) -> None:
    """Start each writer in its own thread, in this order, all of them during one commit."""
    group._open.tickets = tickets = Tickets()
    threads = []
    with group._lock:
        for write in writers:
            threads.append(threading.Thread(target=write))
            threads[-1].start()
            assert tickets.came.acquire(timeout=60)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


class Commits:
    """A commit that fails for some rows."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.numbered = 0
        self.failing: dict[str, BaseException] = {}
        self.group = GroupCommit(threading.Lock(), self.commit)

    def commit(self, rows: Sequence[str]) -> int:
        self.calls.append(list(rows))
        for row in rows:
            if row in self.failing:
                raise self.failing[row]
        self.numbered += len(rows)
        return self.numbered - len(rows)

    def write_together(self, *rows: str) -> dict[str, BaseException | None]:
        """Write each row in its own thread, all of them during one commit; return the outcomes."""
        outcome: dict[str, BaseException | None] = {}

        def write(row: str) -> None:
            try:
                self.group.write([row])
                outcome[row] = None
            except BaseException as error:
                outcome[row] = error

        start_together(self.group, [partial(write, row) for row in rows])
        return outcome


def test_a_lone_writer_commits_at_once() -> None:
    commits = Commits()
    assert commits.group.write(["a", "b"]) == range(2)
    assert commits.group.write(["c"]) == range(2, 3)
    assert commits.calls == [["a", "b"], ["c"]]


def test_each_writer_gets_the_numbers_of_its_own_rows() -> None:
    commits = Commits()
    numbers: dict[str, range] = {}

    def write(*rows: str) -> None:
        numbers["".join(rows)] = commits.group.write(rows)

    start_together(commits.group, [partial(write, *rows) for rows in ("a", "bcd", "ef")])
    assert numbers == {"a": range(1), "bcd": range(1, 4), "ef": range(4, 6)}


def test_waiting_writers_share_a_commit_in_the_order_they_came() -> None:
    commits = Commits()
    assert commits.write_together(*"abcdefgh") == dict.fromkeys("abcdefgh")
    assert commits.calls == [list("abcdefgh")]


def test_only_the_writer_at_fault_gets_the_error() -> None:
    commits = Commits()
    commits.failing["b"] = fault = ValueError("too large")
    assert commits.write_together(*"abc") == {"a": None, "b": fault, "c": None}
    assert commits.calls == [list("abc"), ["a"], ["b"], ["c"]]


def test_a_leader_waits_only_for_as_many_writers_as_came_last_time() -> None:
    commits = Commits()
    commits.write_together(*"abc")
    commits.calls.clear()
    commits.group._patience = 60
    threads = [threading.Thread(target=commits.group.write, args=[[row]]) for row in "def"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [sorted(rows) for rows in commits.calls] == [["d", "e", "f"]]
    commits.group._patience = 0
    commits.group.write(["g"])  # it comes alone
    commits.group._patience = 60
    commits.group.write(["h"])  # and so the next one does not wait
    assert commits.calls[1:] == [["g"], ["h"]]


def test_a_back_end_that_is_away_is_not_asked_again_for_each_writer() -> None:
    commits = Commits()
    commits.failing = {row: StorageError("away", temporary=True) for row in "abc"}
    assert commits.write_together(*"abc").keys() == commits.failing.keys()
    assert commits.calls == [["a", "b", "c"], ["a"]]
    commits.calls.clear()
    with pytest.raises(StorageError):
        commits.group.write(["b"])
    assert commits.calls == [["b"]]


def test_the_other_threads_go_on_when_the_leader_is_interrupted() -> None:
    commits = Commits()
    interrupted: list[Sequence[str]] = []

    def interrupt_once(rows: Sequence[str]) -> int:
        if not interrupted:
            interrupted.append(rows)
            raise KeyboardInterrupt
        return commits.commit(rows)

    commits.group = GroupCommit(threading.Lock(), interrupt_once)
    outcome = commits.write_together(*"abcd")
    (failed,) = [row for row, error in outcome.items() if error is not None]
    assert isinstance(outcome[failed], KeyboardInterrupt)
    assert commits.calls == [[row for row in "abcd" if row != failed]]


def test_a_thread_that_is_interrupted_while_it_waits_takes_its_rows_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commits = Commits()
    wait, interrupted = Bell.wait, threading.Event()

    def interrupt_once(bell: Bell) -> bool:
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt
        return wait(bell)

    monkeypatch.setattr(Bell, "wait", interrupt_once)
    outcome = commits.write_together(*"abcd")
    (failed,) = [row for row, error in outcome.items() if error is not None]
    assert isinstance(outcome[failed], KeyboardInterrupt)
    # The other rows may come in several groups: in doubt, more threads are woken to lead.
    assert sorted(row for rows in commits.calls for row in rows) == sorted(set("abcd") - {failed})
    assert not commits.group._is_led
    assert commits.write_together(*"efgh") == dict.fromkeys("efgh")


def test_no_thread_waits_for_a_leader_that_was_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commits = Commits()

    def interrupt(group: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(commits.group, "_gather", interrupt)
        with pytest.raises(KeyboardInterrupt):
            commits.group.write(["a"])
    assert commits.write_together("b") == {"b": None}
    assert commits.calls == [["b"]]


def test_a_thread_interrupted_during_the_commit_changes_no_numbers() -> None:
    numbers: dict[str, range] = {}

    def commit(rows: Sequence[str]) -> int:
        # This is what another thread does if it is interrupted now.
        for ticket in tickets:
            if ticket.rows == ["b", "c"]:
                ticket.rows = ()
        return 0

    group = GroupCommit(threading.Lock(), commit)
    tickets: list[Any] = []
    gather = group._gather

    def gather_and_see(group_: Any) -> bool:
        gathered = gather(group_)
        tickets.extend(group_.tickets)
        return gathered

    group._gather = gather_and_see  # type: ignore[method-assign,assignment]

    def write(*rows: str) -> None:
        numbers["".join(rows)] = group.write(list(rows))

    start_together(group, [partial(write, *rows) for rows in ("a", "bc", "d")])
    assert (numbers["a"], numbers["d"]) == (range(1), range(3, 4))


def test_without_file_descriptors_one_thread_still_commits_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NoBell:
        def __init__(self) -> None:
            raise OSError("too many open files")

    monkeypatch.setattr("snakemq.queues.parts._group.Bell", NoBell)
    commits = Commits()
    assert commits.write_together(*"abcd") == dict.fromkeys("abcd")
    assert commits.calls == [list("abcd")]
    assert not commits.group._is_led


def test_bells_are_reused() -> None:
    commits = Commits()
    made: set[int] = set()
    for _ in range(50):
        assert commits.write_together(*"abcd") == dict.fromkeys("abcd")
        made.update(map(id, commits.group._spare_bells))
    assert len(made) == len(commits.group._spare_bells) == 1


def test_pushes_of_many_threads_share_commits_of_the_storage(path: Path) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        statements: list[str] = []
        storage._database.connection.set_trace_callback(statements.append)
        items = [Message(b"", None) for _ in range(10)]
        start_together(storage._group, [partial(storage.push, "peer", item) for item in items])
        assert len(statements) == 1
        assert [item.uuid for item in storage.get_items("peer")] == [item.uuid for item in items]


def test_an_unstorable_push_does_not_fail_those_of_other_threads(path: Path) -> None:
    good, bad = Message(b"", None), Message(b"", None)
    bad.flags = 1 << 64
    with closing(SqliteQueuesStorage(path)) as storage:
        errors: list[Exception] = []

        def push(item: Message) -> None:
            try:
                storage.push("peer", item)
            except Exception as error:
                errors.append(error)

        start_together(storage._group, [partial(push, item) for item in (good, bad)])
        assert len(errors) == 1
        with pytest.raises(Exception, match="too large"):
            raise errors[0]
        assert [item.uuid for item in storage.get_items("peer")] == [good.uuid]


def test_many_writers_lose_nothing_and_never_hang() -> None:
    written: list[tuple[int, int]] = []

    def commit(rows: Sequence[tuple[int, int]]) -> int:
        written.extend(rows)
        return len(written) - len(rows)

    group = GroupCommit[tuple[int, int]](threading.Lock(), commit)

    def write(writer: int) -> None:
        for n in range(300):
            group.write([(writer, n)])

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(written) == 8 * 300
    for writer in range(8):
        assert [n for owner, n in written if owner == writer] == list(range(300))
    assert not group._is_led


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # its threads are the point
def test_a_forked_child_takes_no_ring_from_its_parents_threads() -> None:
    """If the child read from the pipe of the bell, one of these threads would wait forever."""
    commits = Commits()
    written: list[range] = []

    def fork_a_child_that_writes() -> None:
        if (pid := os.fork()) == 0:
            try:
                commits.group.write(["of the child"])
            except StorageError:
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0

    group = commits.group
    group._open.tickets = tickets = Tickets()
    threads = []
    with group._lock:  # a commit is under way
        for number in range(4):
            write = partial(group.write, [f"{number}"])
            threads.append(threading.Thread(target=lambda write=write: written.append(write())))
            threads[-1].start()
            assert tickets.came.acquire(timeout=60)
        fork_a_child_that_writes()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(written) == 4


def test_after_a_slow_commit_the_next_leader_does_not_wait_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that does not answer makes a commit fail after ten seconds."""
    commits = Commits()
    readings = iter(range(0, 1000, 10))
    monkeypatch.setattr(_group, "perf_counter", lambda: next(readings))
    commits.write_together("a", "b")
    assert 0 < commits.group._patience <= _group.LONGEST_GATHERING
