"""A signal handler or a finalizer may push, whatever it interrupts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.queues.parts import GroupCommit, Turn
from snakemq.storage.sqla import SqlAlchemyQueuesStorage
from snakemq.storage.sqlite import SqliteQueuesStorage
from tests.support.interruptions import PATIENCE, interrupted

Storage = SqliteQueuesStorage | SqlAlchemyQueuesStorage


def open_sqla(path: Path) -> SqlAlchemyQueuesStorage:
    return SqlAlchemyQueuesStorage(f"sqlite:///{path}")


@pytest.fixture(params=[SqliteQueuesStorage, open_sqla], ids=["sqlite", "sqla"])
def storage(request: pytest.FixtureRequest, path: Path) -> Iterator[Storage]:
    with closing(request.param(path)) as storage:
        yield storage


def message() -> Message:
    return Message(b"data", None)


OUTERS: dict[str, Callable[[Storage, list[Message]], object]] = {
    "push": lambda storage, items: [storage.push("bob", item) for item in items],
    "push_many": lambda storage, items: storage.push_many("bob", items),
    "delete": lambda storage, items: storage.delete("bob", items),
    "get_page": lambda storage, items: storage.get_page("bob", None, 10),
    "get_queues": lambda storage, items: storage.get_queues(),
    "remember": lambda storage, items: storage.remember("bob", [i.uuid for i in items], 100),
    "checkpoint": lambda storage, items: storage.checkpoint_clock(),
}


@pytest.mark.parametrize("name", OUTERS)
def test_what_a_handler_pushes_during_a_call_is_stored(storage: Storage, name: str) -> None:
    outer = OUTERS[name]
    line = 0
    while True:
        line += 1
        storage.delete_all()
        items = [message(), message()]
        if name == "delete":
            storage.push_many("bob", items)
        inner, position = message(), -1

        def push(inner: Message = inner) -> None:
            nonlocal position
            position = storage.push("bob", inner)

        where = interrupted(lambda items=items: outer(storage, items), push, line)  # type: ignore[misc]
        if not where:
            break
        page = storage.get_page("bob", None, 10)
        expected = {inner.uuid} | ({i.uuid for i in items} if name.startswith("push") else set())
        assert {stored.message.uuid for stored in page} == expected, where
        assert len(page) == len(expected), where
        assert [s.position for s in page if s.message.uuid == inner.uuid] == [position], where
    assert line > 10


@pytest.mark.parametrize("name", ["push", "push_many"])
def test_a_handler_does_not_wait_for_a_thread_that_waits_for_it(
    storage: Storage, name: str
) -> None:
    """Other threads keep pushing, in groups with the interrupted thread."""
    outer = OUTERS[name]
    is_over = threading.Event()
    pushed: list[bytes] = []

    def push_all_the_time() -> None:
        while not is_over.is_set():
            item = message()
            storage.push("others", item)
            pushed.append(item.uuid)

    threads = [threading.Thread(target=push_all_the_time) for _ in range(3)]
    for thread in threads:
        thread.start()
    expected: set[bytes] = set()
    try:
        for line in range(1, 400, 4):
            items, inner = [message(), message()], message()
            where = interrupted(
                lambda items=items: outer(storage, items),  # type: ignore[misc]
                lambda inner=inner: storage.push("bob", inner),  # type: ignore[misc]
                line,
            )
            expected |= {item.uuid for item in items}
            if not where:
                break
            expected.add(inner.uuid)
    finally:
        is_over.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert {item.uuid for item in storage.get_items("bob")} == expected
    assert sorted(item.uuid for item in storage.get_items("others")) == sorted(pushed)
    assert not any(thread.is_alive() for thread in threads)


def test_a_push_between_two_statements_is_durable_when_it_returns(
    path: Path, run_child: Callable[..., str]
) -> None:
    code = """if True:
        import os, sys
        from snakemq.message import Message
        from snakemq.storage.sqlite import SqliteQueuesStorage

        storage = SqliteQueuesStorage(sys.argv[1])
        store = storage._insertion._store

        def interrupted(columns):
            store(columns)
            storage._insertion._store = store
            storage.push("bob", Message(b"last words", None))
            os._exit(0)

        storage._insertion._store = interrupted
        storage.push("bob", Message(b"first", None))
    """
    run_child(code, path)
    with closing(SqliteQueuesStorage(path)) as storage:
        assert [item.data for item in storage.get_items("bob")] == [b"first", b"last words"]


def test_a_push_that_fails_at_the_end_of_a_call_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    turn = Turn(logging.getLogger("snakemq.test"))
    attempts: list[int] = []

    def work() -> None:
        attempts.append(len(attempts))
        if len(attempts) < 3:
            raise OSError("the disk is full")

    with turn.call():
        turn.leave(work)
    assert attempts == [0]
    for _ in range(3):
        with turn.call():
            pass
    assert attempts == [0, 1, 2]
    assert len(caplog.records) == 2
    assert not turn.is_taken


def test_a_handler_may_only_push_during_a_call(storage: Storage) -> None:
    with (
        storage._database.gate.turn.call(),
        pytest.raises(Exception, match="a signal handler or a finalizer interrupted a call"),
    ):
        storage.get_queues()


def test_a_leader_leaves_the_lock_to_the_handler_of_the_books_holder() -> None:
    """The leader needs the books; their holder's handler needs the leader's lock."""
    written: list[str] = []

    def commit(rows: Any) -> int:
        written.extend(rows)
        return len(written) - len(rows)

    group = GroupCommit[str](threading.RLock(), commit)
    has_books = threading.Event()

    def handler_of_a_thread_that_has_the_books() -> None:
        with group._books:
            group._writers.add(threading.get_ident())
            has_books.set()
            group.write(["handler"])

    holder = threading.Thread(target=handler_of_a_thread_that_has_the_books, daemon=True)
    gather = group._gather

    def gather_once_the_books_are_taken(open_group: Any) -> bool:
        if not has_books.is_set():
            holder.start()
            assert has_books.wait(PATIENCE)
        return gather(open_group)

    group._gather = gather_once_the_books_are_taken  # type: ignore[method-assign,assignment]
    leader = threading.Thread(target=group.write, args=[["leader"]], daemon=True)
    leader.start()
    for thread in (leader, holder):
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert written == ["handler", "leader"]


def test_a_call_that_waited_behind_a_refused_one_asks_again() -> None:
    turn = Turn(logging.getLogger("snakemq.test"))
    turn.slow = 60
    with turn.lock:
        turn.check(since=0.0)
        turn.failed(StorageError("connection refused", temporary=True))
        turn.check(since=0.0)
        turn.slow = 0
        turn.failed(StorageError("no answer", temporary=True))
        with pytest.raises(StorageError, match="no answer"):
            turn.check(since=0.0)
