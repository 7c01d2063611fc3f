"""The storage that keeps queues in memory."""

import logging
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple

from snakemq._settings import Fixed, function
from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.message._stack import size_of

from ._clock import OwnerClock, ttl_left
from ._storage import QueuesStorageBase, StoredMessage
from ._turn import Turn


class _Row(NamedTuple):
    position: int
    message: Message
    stored_at: float
    """What the owner's clock read when the message's ttl was stored."""


class _MemoryQueue:
    """Keeps the messages of one queue, by uuid and in order."""

    def __init__(self) -> None:
        self.messages: dict[bytes, _Row] = {}  # a dict keeps the order of pushes
        self._order: list[tuple[int, bytes]] = []  # ascending; deleted messages stay for a while
        self._positions = count(1)

    def next_position(self) -> int:
        return next(self._positions)

    def push(self, item: Message, now: float, position: int) -> None:
        if item.uuid not in self.messages:
            self.messages[item.uuid] = _Row(position, item, now)
            self._order.append((position, item.uuid))

    def delete(self, item: Message) -> None:
        self.messages.pop(item.uuid, None)
        if len(self._order) > 2 * len(self.messages) + 100:
            self._order = [(row.position, uuid) for uuid, row in self.messages.items()]

    def behind(self, position: int, now: float) -> Iterator[StoredMessage]:
        """Yield copies of the messages behind a position, each with what is left of its ttl."""
        for n in range(bisect_right(self._order, (position, b"\xff" * 17)), len(self._order)):
            place, uuid = self._order[n]
            row = self.messages.get(uuid)
            if row is not None and row.position == place:
                message = _copy(row.message)
                message.ttl = ttl_left(message.ttl, row.stored_at, now)
                yield StoredMessage(place, message)


class MemoryQueuesStorage(QueuesStorageBase):
    """Keeps queues in memory, and forgets everything with the object. For tests.

    ``predecessor``: a storage whose messages this one takes over, like a restarted process that
    finds them in its database.

    The setting is a read-only attribute, too:

    - ``clock``: a function that returns monotonic seconds, by which ttl is counted while the
      storage is open. Without one the storage neither counts ttl nor returns positions: it is not
      :attr:`pageable`, like a storage written for snakeMQ 1.6.
    """

    blocks = False

    clock: Fixed[Callable[[], float] | None] = Fixed(function(or_none=True))
    keeps_headers = True

    def __init__(
        self,
        predecessor: "MemoryQueuesStorage | None" = None,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.clock = clock
        self._turn = Turn(logging.getLogger("snakemq.queues"))
        self._closed = False
        elapsed = predecessor._elapsed() if predecessor else 0.0
        self._clock: OwnerClock | None = OwnerClock(clock, elapsed) if clock else None
        self._closed_at = 0.0
        self.pageable: bool = clock is not None
        self._queues: dict[str, _MemoryQueue] = predecessor._queues if predecessor else {}
        self._inboxes: dict[str, list[bytes]] = predecessor._inboxes if predecessor else {}

    def close(self) -> None:
        """Refuse everything from now on. A successor may still take the messages over."""
        if not self._closed:
            self._closed_at = self._now()
            self._closed = True

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._turn.call():
            self._check_open()
            yield

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError("this MemoryQueuesStorage is closed")

    def get_queues(self) -> Sequence[str]:
        with self._open():
            return [name for name, queue in self._queues.items() if queue.messages]

    def get_items(self, queue_name: str) -> Sequence[Message]:
        with self._open():
            queue = self._queues.get(queue_name)
            return [stored.message for stored in queue.behind(0, self._now())] if queue else []

    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Sequence[StoredMessage]:
        page: list[StoredMessage] = []
        with self._open():
            queue = self._queues.get(queue_name)
            size = 0
            for stored in queue.behind(after or 0, self._now()) if queue else ():
                page.append(stored)
                size += size_of(stored.message)
                if len(page) >= limit or (max_bytes is not None and size >= max_bytes):
                    break
        return page

    def count(self, queue_name: str) -> int:
        with self._open():
            queue = self._queues.get(queue_name)
            return len(queue.messages) if queue else 0

    def push(self, queue_name: str, item: Message) -> int | None:
        with self._turn.lock:
            self._check_open()
            queue = self._queues.setdefault(queue_name, _MemoryQueue())
            position, now, copy = queue.next_position(), self._now(), _copy(item)
            if self._turn.is_taken:  # by a call that a signal handler has interrupted
                self._turn.leave(lambda: queue.push(copy, now, position))
            else:
                with self._open():
                    queue.push(copy, now, position)
            return position if self._clock else None

    def delete_items(self, items: Iterable[Message]) -> None:
        with self._open():
            for item in items:
                for queue in self._queues.values():
                    queue.delete(item)

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        with self._open():
            queue = self._queues.get(queue_name)
            if queue is not None:
                for item in items:
                    queue.delete(item)

    def delete_all(self) -> None:
        with self._open():
            for queue in self._queues.values():  # they stay: positions must not start over
                for row in list(queue.messages.values()):
                    queue.delete(row.message)

    def update_items_ttl(self, items: Iterable[Message]) -> None:
        with self._open():
            for item in items:
                for queue in self._queues.values():
                    row = queue.messages.get(item.uuid)
                    if row is not None:
                        row.message.ttl = item.ttl
                        queue.messages[item.uuid] = row._replace(stored_at=self._now())

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

    def remembered(self) -> Mapping[str, int]:
        """See :class:`ForgetfulInbox`."""
        with self._open():
            return {ident: len(uuids) for ident, uuids in self._inboxes.items() if uuids}

    def forget(self, idents: Sequence[str]) -> None:
        """See :class:`ForgetfulInbox`."""
        with self._open():
            for ident in idents:
                self._inboxes.pop(ident, None)

    def _elapsed(self) -> float:
        return self._closed_at if self._closed else self._now()

    def _now(self) -> float:
        return self._clock.now() if self._clock else 0.0


def _copy(item: Message) -> Message:
    return Message(item.data, item.ttl, item.flags, item.uuid, item.headers)


def open_url(url: str) -> MemoryQueuesStorage:
    """Open a storage by the URL ``memory:``. This is the entry point ``memory``."""
    if url != "memory:":
        raise ValueError(f"the URL of a storage in memory is 'memory:', not {url!r}")
    return MemoryQueuesStorage()
