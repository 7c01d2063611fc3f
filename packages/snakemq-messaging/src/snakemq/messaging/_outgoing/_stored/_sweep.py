"""Finding what expires in the backlogs of peers that are away."""

from __future__ import annotations

from snakemq.link import LinkInterface, TimerHandle
from snakemq.queues import QueuesStorageBase

from .._queue._expiry import has_expired_in_storage
from ._owner import Owner
from ._patience import Patience

PAGE_MESSAGES = 250
"""Messages that are looked at in one go."""

PAUSE = 0.02
"""Seconds between two pages: the loop has other things to do."""

INTERVAL = 10.0
"""Seconds at least between two sweeps of a backlog. A message that expires deep in a backlog may be
reported late by this much plus one sweep."""


class Sweep:
    """Goes through backlogs page by page, with pauses. For the loop's thread only.

    This saves a list of all deadlines in memory, or an index in the storage that each push would
    pay for. Connected peers are left out: their messages are looked at when their turn comes.
    """

    def __init__(self, link: LinkInterface, storage: QueuesStorageBase, owner: Owner) -> None:
        self._link = link
        self._storage = storage
        self._owner = owner
        self._patience = Patience()
        self._due: dict[str, float] = {}
        self._rested: dict[str, float] = {}
        """For each ident: the time before which its queue is not swept again."""
        self._ident: str | None = None  # of the queue that is being swept
        self._place: int | None = None
        self._soonest: float | None = None
        self._has_found = False
        self._timer: TimerHandle | None = None
        self._timer_at = 0.0

    def plan(self, ident: str, deadline: float) -> None:
        """Sweep the backlog of a peer at that time: nothing in it expires before."""
        planned = self._due.get(ident)
        if planned is not None and planned <= deadline:
            return
        self._due[ident] = max(deadline, self._rested.get(ident, deadline))
        if self._ident is None:
            self._wake_at(self._due[ident])

    def forget(self, ident: str) -> None:
        """Forget the plans for a backlog that is closed."""
        self._due.pop(ident, None)
        self._rested.pop(ident, None)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._link.call_later(max(0.0, when - self._link.time()), self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        now = self._link.time()
        if self._ident is None:
            self._ident = next((ident for ident, due in self._due.items() if due <= now), None)
            if self._ident is not None:
                del self._due[self._ident]
                self._place = self._soonest = None
                self._has_found = False
        if self._ident is not None:
            self._look_at_page(self._ident, now)
        if self._ident is not None:
            self._wake_at(now + (self._patience.delay or PAUSE))
        elif self._due:
            self._wake_at(min(self._due.values()))

    def _look_at_page(self, ident: str, now: float) -> None:
        queue = self._owner.known(ident)
        if queue is None or queue.lane is not None or not queue.backlog.is_open:
            self._ident = None
            return
        queue.backlog.soonest = None  # what comes behind the sweep will set it
        cursor = queue.backlog.cursor
        if self._place is None or (cursor is not None and cursor > self._place):
            self._place = cursor
        try:
            page = self._storage.get_page(ident, self._place, PAGE_MESSAGES)
        except Exception as exc:  # StorageError, if the storage keeps its contract
            self._patience.next_delay()
            self._owner.storage_failed(exc)
            return
        self._patience.reset()
        over = [stored for stored in page if has_expired_in_storage(stored.message)]
        if over:
            self._owner.expired_there(queue, over)
        self._has_found |= len(over) < len(page)
        for stored in page:
            ttl = stored.message.ttl
            if ttl and (self._soonest is None or now + ttl < self._soonest):
                self._soonest = now + ttl
        if page:
            self._place = page[-1].position
            return
        self._ident = None
        rested = self._rested[ident] = now + INTERVAL
        if ident in self._due:  # it was planned meanwhile
            self._due[ident] = max(self._due[ident], rested)
        if self._soonest is not None:
            self.plan(ident, self._soonest)
        if not self._has_found:
            self._owner.emptied(queue)
