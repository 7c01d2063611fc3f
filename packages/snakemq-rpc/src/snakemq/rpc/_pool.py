from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], object]


class WorkerPool:
    """Runs jobs in at most ``size`` threads, which are started when they are needed.

    At most ``max_waiting`` jobs wait for a thread. Daemon threads, unlike those of
    ``concurrent.futures``: a method that never returns does not keep the process from ending.
    """

    def __init__(self, size: int, max_waiting: int, name: str) -> None:
        if size < 1 or max_waiting < 0:
            raise ValueError("a pool needs a thread, and no negative number of waiting jobs")
        self._size = size
        self._limit = size + max_waiting
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._unfinished = 0
        self._threads = 0
        self._closed = False

    def submit(self, job: Job) -> bool:
        """Have a job run; False if too many are waiting, or the pool is closed. Thread-safe."""
        with self._lock:
            if self._unfinished >= self._limit or self._closed:
                return False
            self._unfinished += 1
            start = self._unfinished > self._threads and self._threads < self._size
            if start:
                self._threads += 1
                number = self._threads
        self._jobs.put(job)
        if start:
            name = f"{self._name}-{number}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        return True

    def close(self) -> None:
        """End the threads when the jobs that they have are done. Does not wait for that."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            threads = self._threads
        for _ in range(threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException:
                # Jobs handle their errors; whatever it is, the thread must live on.
                logging.getLogger("snakemq.rpc").exception("a job of the worker pool failed")
            # The job holds the arguments of its call: not until the next one comes.
            del job
            with self._lock:
                self._unfinished -= 1
