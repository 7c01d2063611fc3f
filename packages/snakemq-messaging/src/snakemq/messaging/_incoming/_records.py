"""Recording in the inbox storage what was processed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from snakemq.link import LinkInterface, TimerHandle
from snakemq.queues import InboxStorage

from .._events import Events
from .._storekeeper import Storekeeper
from ._inbox import Inbox, Recording

RECORD_RETRY_DELAY = 1.0
"""Seconds until a failed inbox storage is tried again."""

RECORD_BATCH = 1000
"""Uuids that are recorded in one call. A window may have many times as many."""


class Record:
    """What was processed of one peer, on its way to the storage, whose thread calls
    :meth:`write`."""

    def __init__(
        self, storage: InboxStorage, ident: str, uuids: Sequence[bytes], keep: int
    ) -> None:
        self._storage = storage
        self._ident = ident
        self._uuids = uuids
        self._keep = keep
        self._written = 0

    def write(self) -> None:
        while self._written < len(self._uuids):
            batch = self._uuids[self._written : self._written + RECORD_BATCH]
            self._storage.remember(self._ident, batch, self._keep)
            self._written += len(batch)

    def rest(self) -> Sequence[bytes]:
        """Return what was not written, after a failure."""
        return self._uuids[self._written :]


class Records:
    """Has the inboxes of all peers recorded, and says what may be acknowledged then. For the loop
    only.

    While one batch of a peer is being written, the next one is collected. The window of the peer
    bounds it: nothing is acknowledged before it is durable.
    """

    def __init__(
        self,
        link: LinkInterface,
        storage: InboxStorage | None,
        storekeeper: Storekeeper | None,
        capacity: int,
        inboxes: Mapping[str, Inbox],
        events: Events,
    ) -> None:
        self.on_recorded: Callable[[Inbox], object] = lambda inbox: None
        """Called when more of a peer may be acknowledged."""
        self._link = link
        self._storage = storage
        self._storekeeper = storekeeper
        self._capacity = capacity
        self._inboxes = inboxes
        self._events = events
        self._waiting: dict[Inbox, None] = {}  # a set with an order
        """Those that wait for the storage to work again."""
        self._has_failed = False
        """Has the last attempt failed? Then there is one attempt for all inboxes."""
        self._timer: TimerHandle | None = None

    def record(self, inbox: Inbox) -> None:
        """Make what was processed durable, soon."""
        if not inbox.unrecorded:
            return
        if inbox.recording is not Recording.NOTHING:
            self._bound(inbox)
        elif self._has_failed:
            inbox.recording = Recording.WAITING
            self._waiting[inbox] = None
        else:
            self._write(inbox)

    def _write(self, inbox: Inbox) -> None:
        assert self._storage is not None
        assert self._storekeeper is not None
        record = Record(self._storage, inbox.ident, inbox.unrecorded, self._keep(inbox))
        inbox.unrecorded = []
        inbox.recording = Recording.WRITING
        lane = inbox.lane
        mark = lane.tally.mark() if lane is not None else None

        def done(_: None) -> None:
            inbox.recording = Recording.NOTHING
            if mark is not None and lane is not None and lane is inbox.lane:
                lane.tally.recorded(mark)
            self.record(inbox)
            self.on_recorded(inbox)  # another connection may have repeated what is recorded now
            self._storage_works()

        self._storekeeper.do(record.write, done, lambda exc: self._failed(inbox, record, exc))

    def _failed(self, inbox: Inbox, record: Record, exc: Exception) -> None:
        inbox.unrecorded[:0] = record.rest()
        self._bound(inbox)
        inbox.recording = Recording.WAITING
        self._waiting[inbox] = None
        self._has_failed = True
        if self._timer is None:
            self._timer = self._link.call_later(RECORD_RETRY_DELAY, self._try_again)
        self._events.storage_failed(exc)

    def _bound(self, inbox: Inbox) -> None:
        """Forget the oldest: a peer may come many times, and the storage would keep no more."""
        del inbox.unrecorded[: -self._keep(inbox)]

    def _keep(self, inbox: Inbox) -> int:
        """Return how many uuids the storage has to keep: both generations of RecentUuids. A
        rejected message takes up two places, see mark_of()."""
        return (4 if len(inbox.rejected) else 2) * self._capacity

    def _try_again(self) -> None:
        """Try with one inbox whether the storage works again."""
        self._timer = None
        while self._waiting:
            inbox = next(iter(self._waiting))
            del self._waiting[inbox]
            inbox.recording = Recording.NOTHING
            if inbox.unrecorded and self._inboxes.get(inbox.ident) is inbox:  # not forgotten
                self._write(inbox)
                return
        self._has_failed = False

    def _storage_works(self) -> None:
        self._has_failed = False
        waiting, self._waiting = self._waiting, {}
        for inbox in waiting:
            inbox.recording = Recording.NOTHING
            self.record(inbox)

    def close(self) -> None:
        """Record everything now, also if the storage has just failed."""
        self._storage_works()
        for inbox in list(self._inboxes.values()):
            self.record(inbox)
