"""A storage in memory that can page, is watched, and fails when it is told to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from snakemq.exceptions import StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.queues import MemoryQueuesStorage, StoredMessage


class WatchedStorage(MemoryQueuesStorage):
    """``predecessor``: the storage of a process that was killed."""

    def __init__(self, network: MemoryNetwork, predecessor: WatchedStorage | None = None) -> None:
        super().__init__(predecessor, clock=network.clock.time)
        self._network = network
        self.calls: Counter[str] = Counter()
        """How often each method was called."""
        self.failures: list[tuple[str, float]] = []
        """Which method failed when."""
        self.failing: set[str] = set()
        """Methods that fail."""

    def restarted(self) -> WatchedStorage:
        return WatchedStorage(self._network, self)

    def texts(self, ident: str = "bob") -> list[bytes]:
        """What is in it, past the watch."""
        return [message.data for message in super().get_items(ident)]

    def vanish(self, *texts: bytes, ident: str = "bob") -> None:
        """Somebody else deletes rows."""
        super().delete(ident, [m for m in super().get_items(ident) if m.data in texts])

    def times(self, method: str) -> list[float]:
        """When it failed."""
        return [time for failed, time in self.failures if failed == method]

    def _enter(self, method: str) -> None:
        self.calls[method] += 1
        if method in self.failing:
            self.failures.append((method, self._network.clock.time()))
            raise StorageError(f"{method}: the disk is full", temporary=True)

    def get_items(self, queue_name: str) -> Sequence[Message]:
        self._enter("get_items")
        return super().get_items(queue_name)

    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Sequence[StoredMessage]:
        self._enter("get_page")
        return super().get_page(queue_name, after, limit, max_bytes)

    def push(self, queue_name: str, item: Message) -> int | None:
        self._enter("push")
        return super().push(queue_name, item)

    def push_many(self, queue_name: str, items: Iterable[Message]) -> Sequence[int] | None:
        self._enter("push_many")
        return [super(WatchedStorage, self).push(queue_name, item) or 0 for item in items]

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        self._enter("delete")
        super().delete(queue_name, items)

    def update_items_ttl(self, items: Iterable[Message]) -> None:
        self._enter("update_items_ttl")
        super().update_items_ttl(items)
