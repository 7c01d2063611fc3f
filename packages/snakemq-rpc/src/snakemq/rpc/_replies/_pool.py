from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue

from snakemq.message import Message

from ._jobs import Backlog, Job


class WorkerPool:
    """Runs jobs in at most ``size`` threads, which it starts on demand.

    A job that finds no free thread may wait in the ``backlog``. A thread of the pool calls
    ``run(job)``. These are daemon threads, unlike those of ``concurrent.futures``: a method that
    never returns does not keep the process from ending. Thread-safe.
    """

    def __init__(
        self, size: int, name: str, run: Callable[[Job], object], backlog: Backlog
    ) -> None:
        if size < 1:
            raise ValueError(f"a pool needs a thread, not {size!r}")
        self.size = size
        self.finished = 0
        """How many jobs have been done."""
        self.shortage: Exception | None = None
        """Why the last attempt to start a thread failed; ``None`` if it succeeded."""
        self._name = name
        self._run = run
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()  # also guards the backlog
        self._backlog = backlog
        self._unfinished = 0  # jobs that a thread runs or is about to take
        self._threads = 0
        self._running: dict[int, Job] = {}  # by the ident of the thread
        self._numbers = 0
        self._bells: tuple[Callable[[], object], ...] = ()
        self._closed = False

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        return self._threads

    @property
    def unfinished(self) -> int:
        """How many jobs the threads are working on, or are about to take."""
        return self._unfinished

    @property
    def pending(self) -> int:
        """How many jobs are not done, those that wait for their turn included, but not those that
        are held."""
        with self._lock:
            return self._unfinished + self._backlog.count

    def busy_threads(self) -> frozenset[int]:
        """Return the identifiers of the threads that work on a job."""
        return frozenset(self._running.copy())

    def running(self) -> list[Job]:
        """Return the jobs that the threads are working on."""
        return list(self._running.copy().values())

    def wait_for_others(self, timeout: float) -> list[Job]:
        """Wait up to ``timeout`` seconds until all threads but the calling one are idle.

        Returns the jobs that are not done, including that of the calling thread.
        """
        done = threading.Event()
        end = time.monotonic() + timeout
        own = threading.get_ident()
        with self.ringing(done.set):
            while any(thread != own for thread in self._running.copy()):
                if not done.wait(end - time.monotonic()):
                    break
                done.clear()
        return self.running()

    @contextlib.contextmanager
    def ringing(self, bell: Callable[[], object]) -> Iterator[None]:
        """Have ``bell()`` called by each thread that has done a job, and by :meth:`ring`."""
        with self._lock:
            self._bells = (*self._bells, bell)
        try:
            yield
        finally:
            with self._lock:
                left = list(self._bells)
                left.remove(bell)
                self._bells = tuple(left)

    def ring(self) -> None:
        """Let those that wait look again."""
        for bell in self._bells:
            bell()

    def submit(self, job: Job) -> bool:
        """Give a job to a thread that is free or can be started.

        Returns False if there is no such thread, or if the client gets no turn.
        """
        with self._lock:
            if self._closed or not self._has_free_thread():
                return False
            # Checked last: the reply that filled the client may have freed this thread.
            if job.ident in self._backlog.full:
                return False
            self._unfinished += 1
        self._jobs.put(job)
        return True

    def enqueue(self, job: Job) -> None:
        """Run a job as soon as its turn comes."""
        with self._lock:
            self._backlog.add(job)
        self.work_off()

    def work_off(self) -> None:
        """Give waiting jobs to threads that are free or can be started."""
        with self._lock:
            while self._backlog.count and self._has_free_thread():
                job = self._backlog.pop()
                if job is None:
                    return
                self._unfinished += 1
                self._jobs.put(job)
                if self._closed:
                    self._jobs.put(None)

    def hold(self, job: Job) -> None:
        """See :meth:`Backlog.hold`."""
        with self._lock:
            self._backlog.hold(job)

    def release(self, ident: str) -> Job | None:
        """See :meth:`Backlog.release`."""
        with self._lock:
            return self._backlog.release(ident)

    def ignore_full(self) -> None:
        """From now on give every client its turns, even a full one."""
        with self._lock:
            self._backlog.full = frozenset()

    def newest_of_largest(self, ident: str) -> Job | None:
        """See :meth:`Backlog.newest_of_largest`."""
        with self._lock:
            return self._backlog.newest_of_largest(ident)

    def remove(self, ident: str, message: Message) -> Job | None:
        """See :meth:`Backlog.remove`."""
        with self._lock:
            return self._backlog.remove(ident, message)

    def close(self) -> None:
        """End the threads once all running and waiting jobs are done. Does not wait for that."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            threads = self._threads
        for _ in range(threads):
            self._jobs.put(None)

    def _has_free_thread(self) -> bool:
        if self._unfinished < self._threads:
            return True
        if self._threads >= self.size:
            return False
        try:
            self._numbers += 1
            thread = threading.Thread(
                target=self._work,
                name=f"{self._name}-{self._numbers}",
                daemon=True,
            )
            thread.start()
        except Exception as exc:  # RuntimeError, if the system has no thread to spare
            self.shortage = exc
            return False
        self._threads += 1  # only now, because start() may fail
        self.shortage = None
        return True

    def _work(self) -> None:
        own = threading.get_ident()
        while (job := self._jobs.get()) is not None or not self._may_end():
            while job is not None:
                self._running[own] = job
                try:
                    self._run(job)
                except BaseException:
                    # Jobs handle their own errors; whatever gets here, the thread must live on.
                    logging.getLogger("snakemq.rpc").exception("a job of the worker pool failed")
                # It holds the arguments of its call, so let go of it before the next one comes.
                del self._running[own]
                job = None
                with self._lock:
                    self.finished += 1
                    job = self._backlog.pop() if self._backlog.count else None
                    if job is None:
                        self._unfinished -= 1
                for bell in self._bells:
                    bell()

    def _may_end(self) -> bool:
        """The pool is closed: may this thread end, or are there jobs left?"""
        with self._lock:
            if not self._jobs.empty():
                self._jobs.put(None)  # behind what is there
                return False
            self._threads -= 1
            return True
