"""Reading backlogs from the storage, page by page."""

from __future__ import annotations

from collections.abc import Sequence

from snakemq.link import LinkInterface
from snakemq.queues import QueuesStorageBase, StoredMessage

from .._queue._queue import OutgoingQueue
from ._owner import Owner
from ._patience import Patience

PAGE_MESSAGES = 1000
"""A page costs some milliseconds, during which the loop does nothing else."""

PAGE_BYTES = 1024 * 1024
"""The limit in bytes of message data. A page may go beyond it by one message."""


class Pages:
    """Reads pages for the queues, and leaves a failing storage alone a while. For the loop only."""

    def __init__(self, link: LinkInterface, storage: QueuesStorageBase, owner: Owner) -> None:
        self._link = link
        self._storage = storage
        self._owner = owner
        self._patience = Patience()
        self._refused: dict[str, None] = {}  # a set with an order
        self._is_waiting = False

    def read(self, queue: OutgoingQueue) -> Sequence[StoredMessage] | None:
        """Return what follows the cursor of a backlog. ``None``: not now."""
        if not self._is_waiting:
            try:
                page = self._storage.get_page(
                    queue.ident, queue.backlog.cursor, PAGE_MESSAGES, PAGE_BYTES
                )
            except Exception as exc:  # StorageError, if the storage keeps its contract
                self._is_waiting = True
                self._link.call_later(self._patience.next_delay(), self._try_again)
                self._owner.storage_failed(exc)
            else:
                self._patience.reset()
                return page
        self._refused[queue.ident] = None
        return None

    def _try_again(self) -> None:
        self._is_waiting = False
        refused, self._refused = self._refused, {}
        for ident in refused:
            self._owner.resume(ident)
