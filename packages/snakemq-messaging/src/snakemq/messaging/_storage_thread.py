"""The thread in which a storage is called."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from snakemq.link import forks

from ._storekeeper import AtOnce, Runner

IDLE = 10.0
"""Seconds without a job after which the thread ends; the next job starts it anew. So it needs no
end, and a stack that is only dropped leaves no thread behind."""

END_TIMEOUT = 1.0
"""Seconds to wait for the end of a thread that has nothing left to do."""


class StorageThread:
    """Runs jobs in a thread of its own, which the first one starts. See ``Runner``.

    It is a daemon: a server that does not answer must not keep the process from ending. A child
    that was forked has no such thread, and nothing that waits for it.
    """

    def __init__(self) -> None:
        self._log = logging.getLogger("snakemq.messaging")
        self._begin_anew()
        forks.register(self)

    def _begin_anew(self) -> None:
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = threading.RLock()
        """Held to start the thread and to end it. It is reentrant for signal handlers."""
        self._thread: threading.Thread | None = None

    def abandon(self) -> None:
        """See :class:`snakemq.link.forks.Owner`."""
        self._begin_anew()

    def run(self, job: Callable[[], object]) -> None:
        with self._lock:
            if self._thread is None:
                self._start()
            self._jobs.put(job)

    def wait(self, timeout: float) -> bool:
        done = threading.Lock()
        done.acquire()
        with self._lock:
            if self._thread is None:
                return True  # it ends only when nothing is left
            self._jobs.put(done.release)
        return done.acquire(timeout=timeout)

    def end(self) -> None:
        """Let the thread end when it has nothing left to do; wait a moment for that."""
        with self._lock:
            thread = self._thread
            if thread is None:
                return
            self._jobs.put(None)
            is_idle = self._jobs.qsize() <= 1
        if is_idle and thread is not threading.current_thread():
            thread.join(END_TIMEOUT)

    def _start(self) -> None:
        thread = threading.Thread(
            target=self._work, args=(self._jobs,), name="snakemq-storage", daemon=True
        )
        thread.start()  # RuntimeError if the system has no thread to spare
        self._thread = thread

    def _work(self, jobs: SimpleQueue[Callable[[], object] | None]) -> None:
        while True:
            try:
                job = jobs.get(timeout=IDLE)
            except Empty:
                job = None
            if job is None:
                with self._lock:
                    if jobs.empty():
                        self._thread = None
                        return
                continue
            try:
                job()
            except BaseException:  # jobs report their errors; whatever gets here, others wait
                self._log.exception("a job of the storage thread failed")
            del job  # it holds messages


def runner_of(storage: object) -> Runner:
    """Make the runner for the calls of a storage."""
    return StorageThread() if getattr(storage, "blocks", True) else AtOnce()
