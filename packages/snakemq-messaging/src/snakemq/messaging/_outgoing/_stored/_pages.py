"""Reading backlogs from the storage, page by page."""

from __future__ import annotations

from collections.abc import Sequence

from snakemq.link import LinkInterface
from snakemq.queues import QueuesStorageBase, StoredMessage

from ..._patience import Patience
from ..._storekeeper import Storekeeper
from .._queue._queue import OutgoingQueue
from ._owner import Owner

PAGE_MESSAGES = 1000
"""A page that comes costs the loop about a millisecond, during which it does nothing else."""

PAGE_BYTES = 1024 * 1024
"""The limit in bytes of data and headers. A page may go beyond it by one message."""


class Pages:
    """Has pages read for the queues, one at a time for each queue. For the loop only.

    A queue is in one of three states: in ``_reading`` its page is being read; in ``_refused`` it
    waits until the storage, which has failed, is tried again; otherwise it has no page to come.
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
        self._reading: dict[str, OutgoingQueue] = {}
        self._refused: dict[str, OutgoingQueue] = {}
        self._is_waiting = False
        """Is the storage left alone for a while?"""

    def ask(self, queue: OutgoingQueue) -> None:
        """Have what follows the cursor of a backlog read, unless it is to come already."""
        ident = queue.ident
        if ident in self._reading:
            return
        if self._is_waiting or (self._reading and self._patience.has_failed):
            self._refused[ident] = queue  # one attempt for all of them
            return
        self._reading[ident] = queue
        queue.backlog.ask()
        cursor = queue.backlog.cursor
        self._storekeeper.do(
            lambda: self._storage.get_page(ident, cursor, PAGE_MESSAGES, PAGE_BYTES),
            lambda page: self._came(queue, page),
            lambda exc: self._failed(queue, exc),
        )

    def _came(self, queue: OutgoingQueue, page: Sequence[StoredMessage]) -> None:
        del self._reading[queue.ident]
        self._patience.reset()
        self._owner.page_came(queue, page)
        if self._refused and not self._is_waiting:
            self._ask_again()

    def _failed(self, queue: OutgoingQueue, exc: Exception) -> None:
        del self._reading[queue.ident]
        self._refused[queue.ident] = queue
        if not self._is_waiting:
            self._is_waiting = True
            self._link.call_later(self._patience.next_delay(), self._ask_again)
        self._owner.storage_failed(exc)

    def _ask_again(self) -> None:
        self._is_waiting = False
        refused, self._refused = self._refused, {}
        for queue in refused.values():
            if self._owner.known(queue.ident) is queue and queue.backlog.is_open:
                self.ask(queue)
