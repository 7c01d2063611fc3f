"""The contract of a queues storage, and one in memory."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from snakemq.exceptions import StorageError
from snakemq.message import Message


class QueuesStorageBase(ABC):
    """Where persistent messages wait. One queue per ident of a peer.

    Duties of an implementation:

    - *Order*: :meth:`get_items` returns messages in the order in which they were pushed.
    - *Identity*: a message is a uuid in a queue. Pushing a uuid that is in this queue already
      is ignored, the message that is there keeps its place and its content; once deleted, it
      may be pushed again. The same uuid in two queues are two items. The names of queues are
      any Unicode text, the empty one too, and equal only if they have the same characters.
    - *Durability*: when :meth:`push` returns, the message survives the death of the process
      and, if the back end can do it, of the machine. Deletions may lag behind: a message that
      comes back costs a duplicate, one that is lost breaks the promise of the library.
    - *Exactness*: data of any length, all 16 bytes of the uuid, ttl (``None``, 0, fractions)
      and 32 bits of flags come back as they went in.
    - *Ttl*: the time during which nobody has the storage open does not count. The time while
      it is open is counted by the storage, if it can do so without rewriting its rows, or else
      by its user through :meth:`update_items_ttl`. An expired message has 0 left, never less.
    - *Copies*: changing a message after it was pushed, or one that was returned, changes
      nothing in the storage.
    - *Thread-safety*: :meth:`push` and :meth:`push_many` are called from any thread, the others
      from the loop.
    - *Idempotence*: deleting what is not there, and closing twice, are not errors.
    - *Errors*: whatever the back end raises is translated to
      :exc:`~snakemq.exceptions.StorageError`; so is the use of a closed storage.
    - *Unreadable content* of the back end is set aside and reported through the log; it neither
      gets lost nor holds up the rest of its queue.

    ``snakemq.queues.testing`` checks an implementation for all of this.
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

    def push_many(self, queue_name: str, items: Iterable[Message]) -> None:
        """Append messages; they are durable when this returns.

        When it raises, a storage that has transactions has stored none of them. This default
        pushes one after the other, and leaves those that came before the error.
        """
        for item in items:
            self.push(queue_name, item)

    @abstractmethod
    def delete_items(self, items: Iterable[Message]) -> None:
        """Delete messages by their uuid, from every queue that has them."""

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        """Delete messages of this queue by their uuid; other queues keep theirs.

        This default, for storages that were written for snakeMQ 1.6, can only delete them from
        every queue. It does no harm where no message is sent to two peers; override it.
        """
        self.delete_items(items)

    @abstractmethod
    def delete_all(self) -> None:
        """Delete all items and queues."""

    @abstractmethod
    def update_items_ttl(self, items: Iterable[Message]) -> None:
        """Store the present ``ttl`` of each message, found by its uuid."""


@runtime_checkable
class InboxStorage(Protocol):
    """Where a receiver remembers which messages it has processed, across its restarts.

    A storage of queues can be one as well. Both methods are called from the loop, and raise
    :exc:`~snakemq.exceptions.StorageError` when the back end fails.
    """

    __module__: str = "snakemq.queues"

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        """Messages of a peer were processed; durable when this returns.

        At least the last ``keep`` uuids of that peer have to be kept.
        """

    def recall(self, ident: str, count: int) -> Sequence[bytes]:
        """The last ``count`` uuids of a peer, the oldest first; fewer if there are no more."""


class MemoryQueuesStorage(QueuesStorageBase):
    """A storage that forgets: everything is gone with the object. For tests.

    ``predecessor``: a storage whose messages this one goes on with, as a restarted process
    would with those in its database.

    It does not count ttl by itself.
    """

    __module__ = "snakemq.queues"

    def __init__(self, predecessor: MemoryQueuesStorage | None = None) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._queues: dict[str, dict[bytes, Message]] = predecessor._queues if predecessor else {}
        self._inboxes: dict[str, list[bytes]] = predecessor._inboxes if predecessor else {}

    def close(self) -> None:
        """Refuse everything from now on. A successor may still take the messages over."""
        self._closed = True

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise StorageError("this MemoryQueuesStorage is closed")
            yield

    def get_queues(self) -> Sequence[str]:
        with self._open():
            return [name for name, items in self._queues.items() if items]

    def get_items(self, queue_name: str) -> Sequence[Message]:
        with self._open():
            return [
                Message(item.data, item.ttl, item.flags, item.uuid)
                for item in self._queues.get(queue_name, {}).values()
            ]

    def push(self, queue_name: str, item: Message) -> None:
        with self._open():
            copy = Message(item.data, item.ttl, item.flags, item.uuid)
            self._queues.setdefault(queue_name, {}).setdefault(item.uuid, copy)

    def delete_items(self, items: Iterable[Message]) -> None:
        with self._open():
            for item in items:
                for queue in self._queues.values():
                    queue.pop(item.uuid, None)

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        with self._open():
            queue = self._queues.get(queue_name, {})
            for item in items:
                queue.pop(item.uuid, None)

    def delete_all(self) -> None:
        with self._open():
            self._queues.clear()

    def update_items_ttl(self, items: Iterable[Message]) -> None:
        with self._open():
            for item in items:
                for queue in self._queues.values():
                    if item.uuid in queue:
                        queue[item.uuid].ttl = item.ttl

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        """See :class:`InboxStorage`."""
        with self._open():
            inbox = self._inboxes.setdefault(ident, [])
            inbox += uuids
            del inbox[:-keep]

    def recall(self, ident: str, count: int) -> Sequence[bytes]:
        """See :class:`InboxStorage`."""
        with self._open():
            return self._inboxes.get(ident, [])[-count:]
