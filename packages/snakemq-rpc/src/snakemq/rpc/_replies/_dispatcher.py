"""Decides when a request is executed: now, when a thread is free, or when its client reads."""

from collections.abc import Callable

from snakemq.link import TimerHandle
from snakemq.message import Message
from snakemq.messaging import Messaging

from .._acks import acknowledge
from ._delivery import Delivery
from ._jobs import Backlog, Job
from ._pool import WorkerPool
from ._settings import Settings
from ._watch import StuckWatch

TICK = 0.02
"""Seconds between two checks while requests wait: has a client read its replies, can a thread be
started? Threads that become free take waiting requests themselves."""


class Dispatcher:
    """Passes requests to threads, and keeps those that have to wait in the form they arrived in.

    It acknowledges a call when a thread begins it, and a signal or a request for an async method
    when that method has ended. Until then the request fills the window of a 2.x client, and so
    slows it down. For the loop only.
    """

    def __init__(
        self,
        messaging: Messaging,
        delivery: Delivery,
        settings: Settings,
        *,
        run: Callable[[Job], bool],
        take: Callable[[Job], None],
    ) -> None:
        """``run(job)`` executes a job in a thread, and returns True if its async method goes on:
        then the job is acknowledged at the end of that. ``take(job)`` treats a job that was held
        like a request that has just arrived."""
        self._messaging = messaging
        self._link = messaging.packeter.link
        self._delivery = delivery
        self._settings = settings
        self._run = run
        self._take = take
        self._log = settings.log
        self._backlog = Backlog(delivery.full)
        self.pool = WorkerPool(max(1, settings.threads), "snakemq-rpc", self._work, self._backlog)
        self._watch = StuckWatch(self.pool, settings.log)
        self._timer: TimerHandle | None = None
        self._has_told_shortage = False

    def start(self, job: Job) -> bool:
        """Execute a request in a thread, now or later. Returns False if too many wait already."""
        if job.req_id is None or job.is_async:
            self.defer_ack(job)
        if self.pool.submit(job):
            return True
        self._tell_shortage()
        if job.req_id is not None:
            if not self.pool.threads or not self._make_room(job):
                return False
            self.defer_ack(job)
        job.request = None
        self.pool.enqueue(job)
        self._keep_looking()
        return True

    def hold(self, job: Job) -> None:
        """Keep a request undecoded until its client has read its replies."""
        self.defer_ack(job)
        self.pool.hold(job)
        self._keep_looking()

    def forget(self, ident: str, message: Message) -> Job | None:
        """Drop a message that messaging has given up and will receive again.

        Returns its job if that was waiting here.
        """
        return self.pool.remove(ident, message)

    def close(self) -> None:
        """Execute the waiting requests, then end the threads."""
        # Otherwise a reply that fills a client again would have its requests held again, forever.
        self.pool.ignore_full()
        for ident in self._backlog.held_clients():
            self._release(ident, all_of_them=True)
        self.pool.close()

    # -- inside

    def _make_room(self, job: Job) -> bool:
        """Make room for a call to wait. Returns False if that is impossible.

        Turns away calls of the client with the most waiting, so that one client cannot keep out
        the others.
        """
        backlog, settings = self._backlog, self._settings
        while (
            backlog.calls >= settings.max_waiting
            or backlog.bytes + job.size > settings.max_waiting_bytes
        ):
            other = self.pool.newest_of_largest(job.ident)
            if other is None or other.req_id is None:
                return False
            self._delivery.busy(other.ident, other.req_id)
            self.acknowledge(other)
        return True

    def defer_ack(self, job: Job) -> None:
        """Let the message of a job stay open until :meth:`acknowledge`."""
        if not job.is_open:
            self._messaging.defer_ack(job.message)
            job.is_open = True

    def _work(self, job: Job) -> None:
        """Execute a job in a thread."""
        goes_on = False
        try:
            if job.req_id is not None and not job.is_async:
                self.acknowledge(job)
            goes_on = self._run(job)
        finally:
            if not goes_on:
                self.acknowledge(job)

    def acknowledge(self, job: Job) -> None:
        """Acknowledge the message of a job, unless that is done already. Thread-safe."""
        if job.is_open:
            job.is_open = False
            acknowledge(self._messaging, job.message)

    def _keep_looking(self) -> None:
        if self._timer is None:
            self._watch.restart()
            self._timer = self._link.call_later(TICK, self._look)

    def _look(self) -> None:
        self._timer = None
        for ident in self._backlog.held_clients():
            if not self._delivery.must_wait(ident):
                self._release(ident)
        self.pool.work_off()
        self._tell_shortage()
        self._watch.look(self._link.time(), self._backlog.count)
        if self._backlog.count or self._backlog.held_clients():
            self._timer = self._link.call_later(TICK, self._look)

    def _release(self, ident: str, *, all_of_them: bool = False) -> None:
        """Release held requests of a client, but leave room for those of others."""
        share = max(self.pool.size, self._settings.max_waiting // 4)
        while all_of_them or (
            self._backlog.waiting(ident) < share and not self._delivery.must_wait(ident)
        ):
            job = self.pool.release(ident)
            if job is None:
                break
            if job.has_begun:
                self.pool.enqueue(job)
            else:
                self._take(job)

    def _tell_shortage(self) -> None:
        shortage = self.pool.shortage
        if shortage is None:
            self._has_told_shortage = False
        elif not self._has_told_shortage:
            self._has_told_shortage = True
            self._log.error(
                "no thread can be started (%s), see ulimit -u: %d requests wait, %d threads work",
                *(shortage, self._backlog.count, self.pool.threads),
            )
