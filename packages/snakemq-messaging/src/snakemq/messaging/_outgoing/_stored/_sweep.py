"""Finding what expires in the backlogs of peers that are away."""

from __future__ import annotations

from collections.abc import Sequence

from snakemq.link import LinkInterface, TimerHandle
from snakemq.queues import QueuesStorageBase, StoredMessage

from ..._patience import Patience
from ..._storekeeper import Storekeeper
from .._queue._expiry import has_expired_in_storage
from .._queue._queue import OutgoingQueue
from ._owner import Owner

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

    def __init__(
        self,
        link: LinkInterface,
        storage: QueuesStorageBase,
        storekeeper: Storekeeper,
        owner: Owner,
    ) -> None:
        self._link = link
        self._storage = storage
        self._storekeeper = storekeeper
        self._owner = owner
        self._patience = Patience()
        self._due: dict[str, float] = {}
        self._rested: dict[str, float] = {}
        """For each ident: the time before which its queue is not swept again."""
        self._queue: OutgoingQueue | None = None
        """The one that is being swept: its next page is planned, or being read."""
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
        if self._queue is None:
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
        if self._queue is None:
            self._begin(self._link.time())
        queue = self._queue
        if queue is not None and self._is_to_be_swept(queue):
            self._ask(queue)
        else:
            self._queue = None
            self._plan_next()

    def _begin(self, now: float) -> None:
        ident = next((ident for ident, due in self._due.items() if due <= now), None)
        if ident is not None:
            del self._due[ident]
            self._queue = self._owner.known(ident)
            self._place = self._soonest = None
            self._has_found = False

    def _is_to_be_swept(self, queue: OutgoingQueue) -> bool:
        return (
            self._owner.known(queue.ident) is queue and queue.lane is None and queue.backlog.is_open
        )

    def _ask(self, queue: OutgoingQueue) -> None:
        queue.backlog.soonest = None  # what comes behind the sweep will set it
        cursor = queue.backlog.cursor
        if self._place is None or (cursor is not None and cursor > self._place):
            self._place = cursor
        place = self._place
        self._storekeeper.do(
            lambda: self._storage.get_page(queue.ident, place, PAGE_MESSAGES),
            lambda page: self._came(queue, page),
            self._failed,
        )

    def _came(self, queue: OutgoingQueue, page: Sequence[StoredMessage]) -> None:
        self._patience.reset()
        if self._is_to_be_swept(queue):
            self._look_at_page(queue, page)
        else:
            self._queue = None
        self._plan_next()

    def _failed(self, exc: Exception) -> None:
        self._patience.next_delay()
        self._owner.storage_failed(exc)
        self._plan_next()

    def _plan_next(self) -> None:
        if self._queue is not None:
            self._wake_at(self._link.time() + (self._patience.delay or PAUSE))
        elif self._due:
            self._wake_at(min(self._due.values()))

    def _look_at_page(self, queue: OutgoingQueue, page: Sequence[StoredMessage]) -> None:
        ident, now = queue.ident, self._link.time()
        cursor = queue.backlog.cursor
        over = [
            stored
            for stored in page
            if has_expired_in_storage(stored.message)
            # The peer may have come and gone since the page was asked for.
            and (cursor is None or stored.position > cursor)
        ]
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
        self._queue = None
        rested = self._rested[ident] = now + INTERVAL
        if ident in self._due:  # it was planned meanwhile
            self._due[ident] = max(self._due[ident], rested)
        if self._soonest is not None:
            self.plan(ident, self._soonest)
        if not self._has_found:
            self._owner.emptied(queue)
