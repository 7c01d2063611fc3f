from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from snakemq.rpc._pool import WorkerPool

DEADLINE = 10.0


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What blocked jobs wait for; set at the end of a test, whatever happens."""
    event = threading.Event()
    yield event
    event.set()


def started(pool: WorkerPool, release: threading.Event) -> threading.Thread:
    """A job that blocks is running; returns the thread that runs it."""
    threads: list[threading.Thread] = []
    running = threading.Event()

    def job() -> None:
        threads.append(threading.current_thread())
        running.set()
        assert release.wait(DEADLINE)

    assert pool.submit(job)
    assert running.wait(DEADLINE)
    return threads[0]


def finished(pool: WorkerPool) -> threading.Thread:
    """A job has run; returns the thread that ran it."""
    threads: list[threading.Thread] = []
    done = threading.Event()

    def job() -> None:
        threads.append(threading.current_thread())
        done.set()

    assert pool.submit(job)
    assert done.wait(DEADLINE)
    return threads[0]


def test_jobs_run_in_other_threads_at_the_same_time(release: threading.Event) -> None:
    pool = WorkerPool(3, 0, "pool")
    threads = {started(pool, release) for _ in range(3)}
    assert len(threads) == 3
    assert threading.current_thread() not in threads
    release.set()
    pool.close()


def test_its_threads_do_not_keep_the_process_alive(release: threading.Event) -> None:
    pool = WorkerPool(1, 0, "pool")
    assert started(pool, release).daemon
    script = (
        "import threading; from snakemq.rpc._pool import WorkerPool;"
        "started = threading.Event();"
        "job = lambda: (started.set(), threading.Event().wait());"
        "WorkerPool(1, 0, 'pool').submit(job);"
        "started.wait(10) and print('ends')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout.split()) == (0, [b"ends"])


def test_threads_are_started_when_they_are_needed(release: threading.Event) -> None:
    pool = WorkerPool(5, 0, "some name")
    before = threading.active_count()
    first = started(pool, release)
    assert threading.active_count() == before + 1
    assert "some name" in first.name
    release.set()
    pool.close()
    first.join(DEADLINE)
    assert not first.is_alive()


def test_jobs_wait_when_all_threads_are_busy_and_then_run(release: threading.Event) -> None:
    pool = WorkerPool(1, 1, "pool")
    thread = started(pool, release)
    threads: list[threading.Thread] = []
    done = threading.Event()
    pool.submit(lambda: (threads.append(threading.current_thread()), done.set()))
    assert not done.is_set()
    release.set()
    assert done.wait(DEADLINE)
    assert threads == [thread]
    pool.close()


def test_too_many_jobs_are_turned_away(release: threading.Event) -> None:
    pool = WorkerPool(2, 3, "pool")
    for _ in range(2):
        started(pool, release)
    assert [pool.submit(print) for _ in range(3)] == [True] * 3
    assert not pool.submit(print)
    release.set()
    pool.close()


@pytest.mark.parametrize("exc", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_job_that_raises_is_logged_and_its_thread_lives_on(
    exc: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    pool = WorkerPool(1, 10, "pool")

    def fail() -> None:
        raise exc("for a test")

    assert pool.submit(fail)
    assert finished(pool).is_alive()
    assert exc.__name__ in caplog.text
    pool.close()


def test_a_closed_pool_finishes_what_it_has_and_takes_no_more(release: threading.Event) -> None:
    pool = WorkerPool(1, 1, "pool")
    thread = started(pool, release)
    done = threading.Event()
    assert pool.submit(done.set)
    pool.close()
    pool.close()
    assert not pool.submit(print)
    release.set()
    assert done.wait(DEADLINE)
    thread.join(DEADLINE)
    assert not thread.is_alive()


@pytest.mark.parametrize(("size", "waiting"), [(0, 1), (1, -1)])
def test_sizes_have_to_make_sense(size: int, waiting: int) -> None:
    with pytest.raises(ValueError, match="pool"):
        WorkerPool(size, waiting, "pool")
