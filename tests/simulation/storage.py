"""A storage that is watched, may fail, and in which a process may be killed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.queues import MemoryQueuesStorage

if TYPE_CHECKING:
    from .peer import Peer


class WatchedStorage(MemoryQueuesStorage):
    """Queues and inbox of one life of a peer, durable like a database."""

    def __init__(self, peer: Peer, predecessor: WatchedStorage | None) -> None:
        super().__init__(predecessor)
        self._peer = peer
        self.broken_until = 0.0
        """The disk is full until then."""

    def push(self, queue_name: str, item: Message) -> int | None:
        self._reach("push")
        position = super().push(queue_name, item)
        self._peer.world.ledger.entries[item.uuid].in_storage = True
        self._peer.reach("after push")
        return position

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        self._reach("delete")
        items = list(items)
        super().delete(queue_name, items)
        for item in items:
            self._peer.world.ledger.deleted(self._peer, queue_name, item.uuid)
        self._peer.reach("after delete")

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        self._reach("remember")
        super().remember(ident, uuids, keep)
        self._peer.world.ledger.recorded(self._peer, ident, uuids)
        self._peer.reach("after remember")

    def _reach(self, operation: str) -> None:
        self._peer.reach(f"before {operation}")
        if self._peer.world.now < self.broken_until:
            self._peer.world.happened("storage failure", self._peer.ident, operation)
            raise StorageError("no space left on device", temporary=True)
