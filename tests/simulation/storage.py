"""A storage that is watched, may fail, and in which a process may be killed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.messaging._dead_letters import decode, is_queue_of_dead_letters
from snakemq.queues import MemoryQueuesStorage, StoredMessage

if TYPE_CHECKING:
    from .peer import Peer


class WatchedStorage(MemoryQueuesStorage):
    """Queues and inbox of one life of a peer, durable like a database."""

    def __init__(self, peer: Peer, predecessor: WatchedStorage | None) -> None:
        world = peer.world
        clock = None if world.settings.in_memory is None else lambda: world.now
        super().__init__(predecessor, clock=clock)
        self._peer = peer
        self.broken_until = 0.0
        """The disk is full until then."""
        # Of its own: seeds that are known to other tests must go on meaning the same.
        self._random = Random(f"dead letters {world.seed} {peer.ident} {peer.life}")

    def push(self, queue_name: str, item: Message) -> int | None:
        self._reach("push")
        if is_queue_of_dead_letters(queue_name) and not self._peer.world.is_calm:
            self._fail_at_times("push of a dead letter")
        position = super().push(queue_name, item)
        if is_queue_of_dead_letters(queue_name):
            letter = decode(queue_name, item)
            origin = letter.origin_uuid or item.uuid
            self._peer.world.ledger.dead_letters.stored(self._peer.ident, origin)
        else:
            self._peer.world.ledger.entries[item.uuid].in_storage = True
        self._peer.reach("after push")
        return position

    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Sequence[StoredMessage]:
        self._reach("get_page")
        page = super().get_page(queue_name, after, limit, max_bytes)
        if page and not is_queue_of_dead_letters(queue_name):
            self._peer.world.happened("page of a backlog", self._peer.ident, queue_name)
        return page

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        self._reach("delete")
        items = list(items)
        super().delete(queue_name, items)
        for item in items if not is_queue_of_dead_letters(queue_name) else ():
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
            self._fail(operation)

    def _fail_at_times(self, operation: str) -> None:
        # The disk is full too seldom for what is stored as seldom as dead letters.
        if self._random.random() < 0.2:
            self._fail(operation)

    def _fail(self, operation: str) -> None:
        self._peer.world.happened("storage failure", self._peer.ident, operation)
        raise StorageError("no space left on device", temporary=True)
