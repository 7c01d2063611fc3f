"""The threads of a server: started when they are needed, and never waited for in vain."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from snakemq.message import Message
from snakemq.rpc._replies._jobs import Backlog, Job
from snakemq.rpc._replies._pool import WorkerPool

DEADLINE = 10.0


class Work(Job):
    """A job that calls a function."""

    __slots__ = ("func",)

    def __init__(self, func: Callable[[], object], ident: str = "client") -> None:
        request: Any = {"command": "signal", "object": "", "method": ""}
        super().__init__(ident, Message(b""), 0.0)
        self.decoded(request)
        self.func = func


def make_pool(size: int = 1, full: set[str] | None = None) -> WorkerPool:
    def run(job: Job) -> None:
        assert isinstance(job, Work)
        job.func()

    return WorkerPool(size, "some name", run, Backlog(full or set()))


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What blocked jobs wait for; set at the end of a test, whatever happens."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def shortage(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The system has no thread to spare, until it is undone."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    return monkeypatch


def started(pool: WorkerPool, release: threading.Event) -> threading.Thread:
    """A job that blocks is running; returns the thread that runs it."""
    threads: list[threading.Thread] = []
    running = threading.Event()

    def func() -> None:
        threads.append(threading.current_thread())
        running.set()
        assert release.wait(DEADLINE)

    assert pool.submit(Work(func))
    assert running.wait(DEADLINE)
    return threads[0]


def finished(pool: WorkerPool) -> threading.Thread:
    """A job has run; returns the thread that ran it."""
    threads: list[threading.Thread] = []
    done = threading.Event()

    def func() -> None:
        threads.append(threading.current_thread())
        done.set()

    pool.enqueue(Work(func))
    assert done.wait(DEADLINE)
    return threads[0]


def test_jobs_run_in_other_threads_at_the_same_time(release: threading.Event) -> None:
    pool = make_pool(3)
    threads = {started(pool, release) for _ in range(3)}
    assert len(threads) == 3
    assert threading.current_thread() not in threads
    release.set()
    pool.close()


def test_its_threads_do_not_keep_the_process_alive(release: threading.Event) -> None:
    pool = make_pool()
    assert started(pool, release).daemon
    script = (
        "import threading\n"
        "from snakemq.message import Message\n"
        "from snakemq.rpc._replies._jobs import Backlog, Job\n"
        "from snakemq.rpc._replies._pool import WorkerPool\n"
        "started = threading.Event()\n"
        "run = lambda job: (started.set(), threading.Event().wait())\n"
        "WorkerPool(1, 'pool', run, Backlog(())).submit(Job('', Message(b''), 0.0))\n"
        "started.wait(10) and print('ends')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert (done.returncode, done.stdout.split()) == (0, [b"ends"])


def test_threads_are_started_when_they_are_needed(release: threading.Event) -> None:
    pool = make_pool(5)
    before = threading.active_count()
    first = started(pool, release)
    assert threading.active_count() == before + 1
    assert "some name" in first.name
    release.set()
    pool.close()
    first.join(DEADLINE)
    assert not first.is_alive()


def test_a_client_that_gets_no_turn_gets_no_free_thread_either() -> None:
    pool = make_pool(full={"full"})
    assert not pool.submit(Work(print, "full"))
    assert pool.submit(Work(lambda: None, "other"))
    pool.close()


def test_jobs_wait_when_all_threads_are_busy_and_then_run(release: threading.Event) -> None:
    pool = make_pool()
    thread = started(pool, release)
    assert not pool.submit(Work(print))
    threads: list[threading.Thread] = []
    done = threading.Event()
    pool.enqueue(Work(lambda: (threads.append(threading.current_thread()), done.set())))
    assert not done.is_set()
    release.set()
    assert done.wait(DEADLINE)
    assert threads == [thread]
    pool.close()


def test_clients_take_turns(release: threading.Event) -> None:
    pool = make_pool()
    started(pool, release)
    order: list[str] = []
    for ident in "aaabbc":
        pool.enqueue(Work(lambda ident=ident: order.append(ident), ident))  # type: ignore[misc]
    release.set()
    finished(pool)
    assert order == list("abcaba")
    pool.close()


def test_jobs_of_a_client_that_is_full_are_held_until_they_are_released(
    release: threading.Event,
) -> None:
    full = {"a"}
    pool = make_pool(full=full)
    started(pool, release)
    order: list[str] = []
    for ident in "aab":
        pool.enqueue(Work(lambda ident=ident: order.append(ident), ident))  # type: ignore[misc]
    release.set()
    finished(pool)
    assert order == ["b"]
    full.clear()
    while (job := pool.release("a")) is not None:
        pool.enqueue(job)
    finished(pool)
    assert order == ["b", "a", "a"]
    pool.close()


def test_a_job_that_is_removed_is_not_run(release: threading.Event) -> None:
    pool = make_pool()
    started(pool, release)
    job = Work(lambda: pytest.fail("it was removed"))
    pool.enqueue(job)
    assert pool.remove("client", job.message) is job
    assert pool.remove("client", job.message) is None
    release.set()
    finished(pool)
    pool.close()


@pytest.mark.parametrize("exc", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_job_that_raises_is_logged_and_its_thread_lives_on(
    exc: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    pool = make_pool()

    def fail() -> None:
        raise exc("for a test")

    assert pool.submit(Work(fail))
    assert finished(pool).is_alive()
    assert exc.__name__ in caplog.text
    pool.close()


def test_a_closed_pool_finishes_what_it_has_and_takes_no_more(release: threading.Event) -> None:
    pool = make_pool()
    thread = started(pool, release)
    done = threading.Event()
    pool.enqueue(Work(done.set))
    pool.close()
    pool.close()
    assert not pool.submit(Work(print))
    release.set()
    assert done.wait(DEADLINE)
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_a_job_that_is_enqueued_after_the_end_of_the_threads_is_run() -> None:
    pool = make_pool()
    thread = finished(pool)
    pool.close()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    last = finished(pool)
    last.join(DEADLINE)
    assert not last.is_alive()


def test_a_size_has_to_make_sense() -> None:
    with pytest.raises(ValueError, match="pool"):
        make_pool(0)


# -- no thread can be started


def test_a_thread_that_cannot_be_started_is_not_counted(shortage: pytest.MonkeyPatch) -> None:
    pool = make_pool(2)
    for _ in range(5):
        assert not pool.submit(Work(print))
    assert pool.threads == 0
    assert isinstance(pool.shortage, RuntimeError)
    shortage.undo()
    finished(pool)
    assert pool.threads == 1
    assert pool.shortage is None
    pool.close()


def test_jobs_wait_for_the_threads_that_there_are(
    release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(5)
    thread = started(pool, release)

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = threading.Event()
    pool.enqueue(Work(done.set))
    release.set()
    assert done.wait(DEADLINE)
    assert finished(pool) is thread
    monkeypatch.undo()
    pool.close()


def test_jobs_wait_where_there_is_no_thread_at_all(shortage: pytest.MonkeyPatch) -> None:
    pool = make_pool(2)
    done = threading.Event()
    pool.enqueue(Work(done.set))
    pool.work_off()
    assert not done.is_set()
    shortage.undo()
    pool.work_off()
    assert done.wait(DEADLINE)
    pool.close()
