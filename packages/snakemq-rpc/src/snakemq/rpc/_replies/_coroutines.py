"""Counts the async methods that run, and gives each client its share of them."""

from __future__ import annotations

import threading
from collections import Counter

from ._jobs import Job
from ._settings import Settings


class RunningCoroutines:
    """Decides whether one more async method may run. Thread-safe.

    A call may begin while its client runs fewer than ``max_coroutines`` leaves room for. So one
    client gets half of the room, the next one half of what is left, and a client that runs nothing
    is turned away only when there is no room at all. Nothing is taken back from a client, because a
    method cannot be interrupted without harm.

    Signals are never turned away, so they take no room from calls. Their messages stay open until
    they have ended: the window of each client bounds them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._jobs: set[Job] = set()
        self._calls: Counter[str] = Counter()  # by client
        self._total = 0  # of the calls

    @property
    def count(self) -> int:
        """How many calls and signals run."""
        return len(self._jobs)

    def jobs(self) -> list[Job]:
        """Return the jobs that run."""
        with self._lock:
            return list(self._jobs)

    def begin(self, job: Job) -> bool:
        """Count a job until :meth:`end`. Returns False if it is a call that may not run now."""
        with self._lock:
            if job.req_id is not None:
                if self._calls[job.ident] >= self._settings.max_coroutines - self._total:
                    return False
                self._calls[job.ident] += 1
                self._total += 1
            self._jobs.add(job)
            return True

    def end(self, job: Job) -> None:
        """Give the place of a job to others."""
        with self._lock:
            self._jobs.remove(job)
            if job.req_id is not None:
                self._total -= 1
                self._calls[job.ident] -= 1
                if not self._calls[job.ident]:
                    del self._calls[job.ident]
