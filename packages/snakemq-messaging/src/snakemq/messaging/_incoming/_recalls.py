"""Reading from the inbox storage what an earlier process has processed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from snakemq.link import LinkInterface
from snakemq.queues import InboxStorage

from .._events import Events
from .._storekeeper import Storekeeper
from ._inbox import Inbox

RECALL_RETRY_DELAY = 1.0
"""Seconds until a failed inbox storage is tried again."""

RECALL_BATCH = 64
"""Peers whose inboxes are read at once, when many of them connect."""


class Recalls:
    """Has inboxes read when their peers connect. For the loop only.

    Until then the messages of a peer wait, because they may be repetitions.
    """

    def __init__(
        self,
        link: LinkInterface,
        storage: InboxStorage,
        storekeeper: Storekeeper,
        capacity: int,
        events: Events,
    ) -> None:
        self.on_recalled: Callable[[Inbox], object] = lambda inbox: None
        """Called when it is known what an earlier process has processed of a peer."""
        self._link = link
        self._storage = storage
        self._storekeeper = storekeeper
        self._capacity = capacity
        self._events = events
        self._wanted: dict[Inbox, None] = {}  # a set with an order
        self._is_busy = False
        """Are some being read, or is the storage left alone for a while?"""

    def ask(self, inbox: Inbox) -> None:
        """Read an inbox, soon."""
        self._wanted[inbox] = None
        self._read_next()

    def give_up(self, inbox: Inbox) -> None:
        """Do not read it, if it is not being read already: its peer has gone."""
        self._wanted.pop(inbox, None)

    def _read_next(self) -> None:
        if self._is_busy or not self._wanted:
            return
        self._is_busy = True
        inboxes = list(islice(self._wanted, RECALL_BATCH))
        count = 4 * self._capacity  # see Records._keep()
        self._storekeeper.do(
            lambda: [self._storage.recall(inbox.ident, count) for inbox in inboxes],
            lambda found: self._came(inboxes, found),
            self._failed,
        )

    def _came(self, inboxes: list[Inbox], found: list[Sequence[bytes]]) -> None:
        self._is_busy = False
        for inbox in inboxes:
            self._wanted.pop(inbox, None)
        for inbox, uuids in zip(inboxes, found, strict=True):
            if not inbox.is_recalled:
                inbox.recalled(uuids)
                inbox.is_recalled = True
                self.on_recalled(inbox)
        self._read_next()

    def _failed(self, exc: Exception) -> None:
        self._link.call_later(RECALL_RETRY_DELAY, self._try_again)
        self._events.storage_failed(exc)

    def _try_again(self) -> None:
        self._is_busy = False
        self._read_next()
