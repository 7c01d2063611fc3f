"""Calls of a storage that are made away from the loop, in a thread or at once."""

from __future__ import annotations

import gc
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from snakemq.exceptions import StorageError
from snakemq.link import Link
from snakemq.link.testing import MemoryNetwork
from snakemq.messaging import _storage_thread
from snakemq.messaging._storage_thread import StorageThread, runner_of
from snakemq.messaging._storekeeper import AtOnce, Runner, Storekeeper, Storekeepers
from snakemq.queues import MemoryQueuesStorage

LONG = 30.0
"""Seconds that nothing takes, however busy the machine is."""


@pytest.fixture
def thread() -> Iterator[StorageThread]:
    thread = StorageThread()
    yield thread
    thread.end()


@pytest.fixture
def link() -> Iterator[Link]:
    link = Link()
    yield link
    link.cleanup()


def storage_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "snakemq-storage"]


def unexpected(error: Exception) -> None:
    raise error


class Diary:
    """What came of the calls, in the order in which it was reported."""

    def __init__(self, storekeeper: Storekeeper) -> None:
        self.storekeeper = storekeeper
        self.entries: list[Any] = []

    def do(self, call: Callable[[], object]) -> None:
        self.storekeeper.do(call, self.entries.append, self.entries.append)


# -- the thread


def test_jobs_run_in_their_order_in_one_thread_that_is_not_the_callers(
    thread: StorageThread,
) -> None:
    seen: list[tuple[int, int]] = []
    for number in range(100):
        thread.run(lambda number=number: seen.append((number, threading.get_ident())))  # type: ignore[misc]
    assert thread.wait(LONG)
    assert [number for number, _ in seen] == list(range(100))
    assert {ident for _, ident in seen} - {threading.get_ident()} == {seen[0][1]}


def test_no_thread_is_started_before_there_is_a_job(thread: StorageThread) -> None:
    before = len(storage_threads())
    assert thread.wait(0.0)
    thread.end()
    assert len(storage_threads()) == before


def test_waiting_ends_when_the_time_is_over(thread: StorageThread) -> None:
    goes_on = threading.Event()
    thread.run(lambda: goes_on.wait(LONG))
    assert not thread.wait(0.0)
    goes_on.set()
    assert thread.wait(LONG)


def test_thread_ends_and_the_next_job_starts_another(thread: StorageThread) -> None:
    idents: list[threading.Thread] = []
    for _ in range(2):
        thread.run(lambda: idents.append(threading.current_thread()))
        thread.wait(LONG)
        thread.end()
        idents[-1].join(LONG)
        assert not idents[-1].is_alive()
    assert idents[0] is not idents[1]


def test_idle_thread_ends_by_itself(thread: StorageThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_storage_thread, "IDLE", 0.001)
    threads: list[threading.Thread] = []
    for _ in range(20):
        thread.run(lambda: threads.append(threading.current_thread()))
        thread.wait(LONG)
    threads[-1].join(LONG)
    assert not threads[-1].is_alive()


def test_what_is_given_before_the_end_is_still_done(thread: StorageThread) -> None:
    goes_on, done = threading.Event(), threading.Event()
    thread.run(lambda: goes_on.wait(LONG))
    thread.run(done.set)
    thread.end()
    thread.run(lambda: None)
    goes_on.set()
    assert done.wait(LONG)
    assert thread.wait(LONG)


def test_thread_outlives_a_job_that_fails(
    thread: StorageThread, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise SystemExit

    done = threading.Event()
    with caplog.at_level(logging.CRITICAL + 1):
        thread.run(fail)
        thread.run(done.set)
        assert done.wait(LONG)


def test_thread_holds_no_job_that_is_done(thread: StorageThread) -> None:
    class Data:
        pass

    data = Data()
    alive = weakref.ref(data)
    thread.run(lambda data=data: None)  # type: ignore[misc]
    del data
    thread.wait(LONG)
    thread.wait(LONG)  # the first one may still be the present job
    gc.collect()
    assert alive() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_neither_has_the_thread_nor_waits_for_it(thread: StorageThread) -> None:
    goes_on = threading.Event()
    thread.run(lambda: goes_on.wait(LONG))
    child = os.fork()
    if child == 0:
        is_free = thread.wait(0.0)
        thread.end()
        os._exit(0 if is_free else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    goes_on.set()


# -- the loop's side


@pytest.mark.parametrize("make", [AtOnce, StorageThread])
def test_outcomes_are_reported_in_order_and_never_at_once(
    link: Link, make: Callable[[], Runner]
) -> None:
    storekeeper = Storekeepers(link, lambda _: make()).of(object())
    assert storekeeper is not None
    diary = Diary(storekeeper)
    error = StorageError("no space left")

    def fail() -> None:
        raise error

    diary.do(lambda: 1)
    diary.do(fail)
    diary.do(lambda: 3)
    assert diary.entries == []
    while len(diary.entries) < 3:
        link.loop(count=1, runtime=0.01)
    assert diary.entries == [1, error, 3]
    diary.storekeeper.end()


def test_outcomes_are_reported_in_the_loop(link: Link) -> None:
    storekeeper = Storekeepers(link, lambda _: StorageThread()).of(object())
    assert storekeeper is not None
    seen: list[bool] = []

    def done(_: object) -> None:
        seen.append(link.in_loop())
        link.stop()

    storekeeper.do(lambda: None, done, done)
    link.loop(runtime=LONG)
    assert seen == [True]
    storekeeper.end()


def test_finish_waits_for_the_outcomes_and_for_what_follows_from_them(link: Link) -> None:
    storekeeper = Storekeeper(link, StorageThread())
    seen: list[int] = []

    def again(number: int) -> None:
        seen.append(number)
        if number < 5:
            storekeeper.do(lambda: number + 1, again, unexpected)

    storekeeper.do(lambda: 1, again, unexpected)
    assert storekeeper.finish(LONG)
    assert seen == [1, 2, 3, 4, 5]
    storekeeper.end()


def test_finish_waits_for_what_one_storage_gives_to_another(link: Link) -> None:
    storekeepers = Storekeepers(link, lambda _: AtOnce())
    one, other = storekeepers.of(object()), storekeepers.of(object())
    assert one is not None
    assert other is not None
    seen: list[int] = []
    other.do(
        lambda: 1,
        lambda n: one.do(
            lambda: n + 1, lambda n: other.do(lambda: n, seen.append, unexpected), unexpected
        ),
        unexpected,
    )
    assert storekeepers.finish(LONG)
    assert seen == [2]


def test_finish_gives_up_on_a_storage_that_hangs(link: Link) -> None:
    storekeeper = Storekeeper(link, StorageThread())
    goes_on = threading.Event()
    storekeeper.do(lambda: goes_on.wait(LONG), lambda _: None, unexpected)
    assert not storekeeper.finish(0.01)
    goes_on.set()
    assert storekeeper.finish(LONG)
    storekeeper.end()


def test_call_that_finds_no_thread_fails_for_now(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    diary = Diary(Storekeeper(link, StorageThread()))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        diary.do(lambda: 1)
    diary.do(lambda: 2)
    diary.storekeeper.finish(LONG)
    error, result = diary.entries
    assert isinstance(error, StorageError)
    assert error.temporary
    assert result == 2
    diary.storekeeper.end()


def test_outcome_that_raises_does_not_hold_up_the_next(network: MemoryNetwork) -> None:
    link = network.link("alice")
    storekeeper = Storekeepers(link, lambda _: AtOnce()).of(object())
    assert storekeeper is not None
    seen: list[int] = []
    storekeeper.do(lambda: 0, lambda number: 1 // number, unexpected)
    storekeeper.do(lambda: 2, seen.append, unexpected)
    network.run_until_idle()
    assert seen == [2]
    assert [type(exc) for exc in network.errors] == [ZeroDivisionError]
    network.errors.clear()


# -- which storage has which


def test_one_storage_has_one_storekeeper_whatever_it_is_used_for(link: Link) -> None:
    storekeepers = Storekeepers(link, runner_of)
    one, other = MemoryQueuesStorage(), MemoryQueuesStorage()
    assert storekeepers.of(one) is storekeepers.of(one)
    assert storekeepers.of(one) is not storekeepers.of(other)
    assert storekeepers.of(None) is None


def test_storage_that_never_blocks_is_called_in_the_loop() -> None:
    class Silent:
        """Says nothing, like an inbox of another author."""

    assert isinstance(runner_of(MemoryQueuesStorage()), AtOnce)
    assert isinstance(runner_of(Silent()), StorageThread)
