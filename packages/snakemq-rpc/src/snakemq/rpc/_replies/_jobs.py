"""Keeps requests on their way to a thread."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container

from snakemq.identity import Identity
from snakemq.message import Message

from .._front import Front
from .._protocol import Request
from ._requests import remaining

JOB_OVERHEAD = 512
"""The estimated bytes that a waiting request needs besides its data."""


class Job:
    """A request that will be executed once a thread is free, or once its client reads.

    ``arrived``: the time of its arrival, on the clock of the link.
    """

    __slots__ = (
        "arrived",
        "deadline",
        "front",
        "has_begun",
        "ident",
        "is_async",
        "is_open",
        "message",
        "method",
        "object",
        "req_id",
        "request",
        "sender",
    )

    request: Request | None
    """The decoded request; ``None`` while it waits, because decoded arguments can take many times
    the memory of their pickle."""
    front: Front | None
    """What the front of a large request says, which only its thread decodes."""
    object: str
    method: str
    req_id: bytes | None
    """``None`` for a signal."""
    deadline: float | None
    """The time when its caller gives up, on the clock of the link; ``None``: never."""
    has_begun: bool
    """Is it known what it asks for, and that it has not come before?"""
    sender: Identity | None
    """Known if it was held when it arrived. Whether its peer may call the method is decided when it
    is taken."""
    is_async: bool
    """Is it a large request for an async method? Then it is acknowledged when that has ended, not
    when a thread begins it."""
    is_open: bool
    """Is the deferred acknowledgement of its message still due?"""

    def __init__(self, ident: str, message: Message, arrived: float) -> None:
        self.ident = ident
        self.message = message
        self.arrived = arrived
        self.request = None
        self.front = None
        self.sender = None
        self.object = self.method = ""
        self.req_id = self.deadline = None
        self.has_begun = self.is_async = self.is_open = False

    def decoded(self, request: Request) -> None:
        """Take over what the decoded request says."""
        self.has_begun = True
        self.request = request
        self.object = request["object"]
        self.method = request["method"]
        if request["command"] == "call":
            self.req_id = request["req_id"]
            self.limit_to(remaining(request))

    def named(self, front: Front, req_id: bytes | None) -> None:
        """Take over what is known of a request that is not decoded yet."""
        self.has_begun = True
        self.front = front
        self.object, self.method, _ = front
        self.req_id = req_id

    def limit_to(self, seconds: float | None) -> None:
        """Note for how long its caller waits from the arrival on."""
        if seconds is not None:
            self.deadline = self.arrived + seconds

    def is_late(self, now: float) -> bool:
        """Has its caller given up?"""
        return self.deadline is not None and now > self.deadline

    @property
    def size(self) -> int:
        """The bytes that it needs while it waits."""
        return len(self.message.data) + JOB_OVERHEAD


class Backlog:
    """Queues jobs that wait for a thread: each client's in their order, the clients in turns.

    ``full``: clients that get no turn; their jobs are *held* until :meth:`release`. ``count``,
    ``calls`` and ``bytes`` leave out held jobs. Not thread-safe: its owner has a lock.
    """

    def __init__(self, full: Container[str]) -> None:
        self.full = full
        self._ready: OrderedDict[str, OrderedDict[Message, Job]] = OrderedDict()
        self._held: dict[str, OrderedDict[Message, Job]] = {}
        self._largest = ""  # the client that had the most jobs at the last look
        self.calls = 0
        self.bytes = 0
        self.count = 0

    def add(self, job: Job) -> None:
        """Queue a job until its turn comes."""
        jobs = self._ready.get(job.ident)
        if jobs is None:
            jobs = self._ready[job.ident] = OrderedDict()
        jobs[job.message] = job
        if len(jobs) > self.waiting(self._largest):
            self._largest = job.ident
        self._count(job, 1)

    def hold(self, job: Job) -> None:
        """Keep a job until its client is released."""
        self._held.setdefault(job.ident, OrderedDict())[job.message] = job

    def pop(self) -> Job | None:
        """Take out the next job; ``None`` if no client that gets a turn has one."""
        while self._ready:
            ident, jobs = self._ready.popitem(last=False)
            if ident in self.full:
                for job in jobs.values():
                    self.hold(job)
                    self._count(job, -1)
                continue
            _, job = jobs.popitem(last=False)
            self._count(job, -1)
            if jobs:
                self._ready[ident] = jobs
            return job
        return None

    def waiting(self, ident: str) -> int:
        """Return how many jobs of a client wait for their turn."""
        return len(self._ready.get(ident, ()))

    def newest_of_largest(self, ident: str) -> Job | None:
        """Take out the newest call of the client with the most jobs.

        ``None`` if it has fewer than two jobs more than the client ``ident``, or only signals.
        """
        if self.waiting(self._largest) <= self.waiting(ident) + 1:
            # Another client may have become the largest since.
            self._largest = max(self._ready, key=self.waiting, default="")
            if self.waiting(self._largest) <= self.waiting(ident) + 1:
                return None
        for job in reversed(self._ready[self._largest].values()):
            if job.req_id is not None:
                return self.remove(job.ident, job.message)
        return None

    def release(self, ident: str) -> Job | None:
        """Take out the oldest held job of a client."""
        jobs = self._held.get(ident)
        if jobs is None:
            return None
        _, job = jobs.popitem(last=False)
        if not jobs:
            del self._held[ident]
        return job

    def held_clients(self) -> list[str]:
        return list(self._held)

    def remove(self, ident: str, message: Message) -> Job | None:
        """Take out one job; ``None`` if it is not (or no longer) waiting."""
        held = self._held.get(ident)
        if held is not None and message in held:
            job = held.pop(message)
            if not held:
                del self._held[ident]
            return job
        ready = self._ready.get(ident)
        if ready is None or message not in ready:
            return None
        job = ready.pop(message)
        self._count(job, -1)
        if not ready:
            del self._ready[ident]
        return job

    def _count(self, job: Job, sign: int) -> None:
        self.count += sign
        self.bytes += sign * job.size
        if job.req_id is not None:
            self.calls += sign
