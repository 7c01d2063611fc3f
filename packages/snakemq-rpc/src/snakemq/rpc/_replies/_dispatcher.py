"""Decides when a request is executed: now, when a thread is free, or when its client reads."""

from collections.abc import Callable

from snakemq.link import TimerHandle
from snakemq.message import Message
from snakemq.messaging import Messaging

from .._acks import acknowledge
from ._delivery import Delivery
from ._execution import Settings
from ._jobs import Backlog, Job
from ._pool import WorkerPool
from ._watch import StuckWatch

TICK = 0.02
"""Seconds between two looks at what requests wait for, while some do: has a client read what it
was sent, can a thread be started? Threads that become free take waiting requests themselves."""


class Dispatcher:
    """Gives requests to threads, and keeps those that have to wait, as they came off the wire.

    A request that waits is not acknowledged: a call until a thread begins it, a signal until its
    method has returned. So a 2.x client is held up by its window. For the loop only.
    """

    def __init__(
        self,
        messaging: Messaging,
        delivery: Delivery,
        settings: Settings,
        *,
        run: Callable[[Job], None],
        take: Callable[[Job], None],
    ) -> None:
        """``run(job)`` executes a job in a thread; ``take(job)`` looks at one that was held, as at
        a request that has just come."""
        self._messaging = messaging
        self._link = messaging.packeter.link
        self._full = delivery.full
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
        """Execute a request in a thread, now or later. False: too much waits, it is not taken."""
        if job.req_id is None:
            self._defer_ack(job)
        if self.pool.submit(job):
            return True
        self._tell_shortage()
        if job.req_id is not None:
            if not self.pool.threads or not self._make_room(job):
                return False
            self._defer_ack(job)
        job.request = None
        self.pool.enqueue(job)
        self._keep_looking()
        return True

    def hold(self, job: Job) -> None:
        """Let a request wait, unread, until its client has read what it was sent."""
        self._defer_ack(job)
        self.pool.hold(job)
        self._keep_looking()

    def forget(self, ident: str, message: Message) -> Job | None:
        """Messaging has given a message up, which will come again; its job, if it waits here."""
        return self.pool.remove(ident, message)

    def close(self) -> None:
        """Execute what waits, and end the threads after that."""
        for ident in self._backlog.held_clients():
            self._full.discard(ident)
            self._release(ident, all_of_them=True)
        self.pool.close()

    # -- inside

    def _make_room(self, job: Job) -> bool:
        """May a call wait? If there is no room, calls are turned away of the client that has the
        most of them waiting, so that one client does not keep out the others."""
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

    def _defer_ack(self, job: Job) -> None:
        if not job.is_open:
            self._messaging.defer_ack(job.message)
            job.is_open = True

    def _work(self, job: Job) -> None:
        """Execute a job in a thread."""
        try:
            if job.req_id is not None:
                self.acknowledge(job)
            self._run(job)
        finally:
            self.acknowledge(job)

    def acknowledge(self, job: Job) -> None:
        """The message of a job is processed, if that is still to be said. Thread-safe."""
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
        """Let held requests of a client go on, but do not fill the room of others with them."""
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
