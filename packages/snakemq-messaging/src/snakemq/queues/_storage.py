"""The contract of a queues storage, and one in memory."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from snakemq.message import Message


class QueuesStorageBase(ABC):
    """Where persistent messages wait. One queue per ident of a peer.

    Duties of an implementation:

    - *Order*: :meth:`get_items` returns messages in the order in which they were pushed.
    - *Durability*: when :meth:`push` returns, the message survives the death of the process
      and, if the back end can do it, of the machine. Deletions may lag behind: a message that
      comes back costs a duplicate, one that is lost breaks the promise of the library.
    - *Exactness*: data of any length, all 16 bytes of the uuid, ttl (``None``, 0, fractions)
      and 32 bits of flags come back as they went in.
    - *Thread-safety*: :meth:`push` is called from any thread, the others from the loop.
    - *Idempotence*: deleting what is not there, and closing twice, are not errors.
    - *Errors*: whatever the back end raises is translated to
      :exc:`~snakemq.exceptions.StorageError`; so is the use of a closed storage.
    """

    __module__ = "snakemq.queues"

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent. No other method may be used afterwards."""

    @abstractmethod
    def get_queues(self) -> Sequence[str]:
        """Names of the queues that have at least one item, in any order."""

    @abstractmethod
    def get_items(self, queue_name: str) -> Sequence[Message]:
        """The messages of a queue in their order; empty when there is no such queue.

        The ``ttl`` of a message is what is left of it, in seconds.
        """

    @abstractmethod
    def push(self, queue_name: str, item: Message) -> None:
        """Append a message; it is durable when this returns."""

    @abstractmethod
    def delete_items(self, items: Iterable[Message]) -> None:
        """Delete messages by their uuid."""

    @abstractmethod
    def delete_all(self) -> None:
        """Delete all items and queues."""

    @abstractmethod
    def update_items_ttl(self, items: Iterable[Message]) -> None:
        """Store the present ``ttl`` of each message, found by its uuid."""


class MemoryQueuesStorage(QueuesStorageBase):
    """A storage that forgets: everything is gone with the object. For tests."""

    __module__ = "snakemq.queues"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, dict[bytes, Message]] = {}

    def close(self) -> None:
        """Does nothing: the messages stay, so that a test can "restart" a peer with them."""

    def get_queues(self) -> Sequence[str]:
        with self._lock:
            return [name for name, items in self._queues.items() if items]

    def get_items(self, queue_name: str) -> Sequence[Message]:
        with self._lock:
            return [
                Message(item.data, item.ttl, item.flags, item.uuid)
                for item in self._queues.get(queue_name, {}).values()
            ]

    def push(self, queue_name: str, item: Message) -> None:
        with self._lock:
            self._queues.setdefault(queue_name, {})[item.uuid] = Message(
                item.data, item.ttl, item.flags, item.uuid
            )

    def delete_items(self, items: Iterable[Message]) -> None:
        with self._lock:
            for item in items:
                for queue in self._queues.values():
                    queue.pop(item.uuid, None)

    def delete_all(self) -> None:
        with self._lock:
            self._queues.clear()

    def update_items_ttl(self, items: Iterable[Message]) -> None:
        with self._lock:
            for item in items:
                for queue in self._queues.values():
                    if item.uuid in queue:
                        queue[item.uuid].ttl = item.ttl
