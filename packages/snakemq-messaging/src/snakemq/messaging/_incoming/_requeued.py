"""Offers dead letters that were requeued."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from snakemq.link import LinkInterface
from snakemq.message import Message
from snakemq.queues import QueuesStorageBase

from .. import _dead_letters as dead_letters
from .._dead_letters import DeadLetter
from .._events import Events
from .._patience import Patience
from .._storekeeper import Storekeeper
from ._deliveries import Deliveries
from ._delivery import Delivery


class Requeued:
    """Reads requeued messages a page at a time, and deletes those that are done. Loop only."""

    def __init__(
        self,
        link: LinkInterface,
        storage: QueuesStorageBase,
        storekeeper: Storekeeper,
        deliveries: Deliveries,
        hold: Callable[[Delivery], None],
        events: Events,
    ) -> None:
        """``hold(delivery)``: offer it when there is room."""
        self._link = link
        self._storage = storage
        self._storekeeper = storekeeper
        self._deliveries = deliveries
        self._hold = hold
        self._events = events
        self._after: int | None = None
        """The position of the last one that was read."""
        self._is_reading = False
        self._is_asked_again = False
        """Was something requeued since the read that is under way began?"""
        self._open = 0
        """How many of the page are not done yet."""
        self._done: list[Message] = []
        """Those that are not deleted yet."""
        self._is_deleting = False
        self._reads = Patience()
        self._deletions = Patience()
        link.call_later(0, self.look)

    def look_soon(self) -> None:
        """Have the loop offer what was requeued. Thread-safe."""
        self._storekeeper.do(_nothing, lambda _: self.look(), self._events.storage_failed)

    def look(self) -> None:
        """Offer what was requeued, now or when what was read before is done."""
        self._is_asked_again = True
        if self._is_reading or self._open:
            return
        self._is_asked_again = False
        self._is_reading = True
        storage, after = self._storage, self._after
        self._storekeeper.do(
            lambda: dead_letters.requeued(storage, after), self._read, self._read_failed
        )

    def _read(self, page: Sequence[tuple[int, DeadLetter]]) -> None:
        self._is_reading = False
        self._reads.reset()
        for position, letter in page:
            self._after = position
            self._open += 1
            self._hold(self._deliveries.open_letter(letter, self._ended))
        if page:
            self._link.wakeup_poll()
        if self._is_asked_again:
            self.look()

    def _read_failed(self, exc: Exception) -> None:
        self._is_reading = False
        self._events.storage_failed(exc)
        self._link.call_later(self._reads.next_delay(), self.look)

    def _ended(self, delivery: Delivery) -> None:
        """Note that a message was processed, or is a dead letter again."""
        self._open -= 1
        self._done.append(delivery.message)
        if not self._is_deleting:
            self._is_deleting = True
            self._delete()
        if not self._open:
            self.look()

    def _delete(self) -> None:
        storage, messages = self._storage, list(self._done)
        self._storekeeper.do(
            lambda: dead_letters.forget_requeued(storage, messages),
            lambda _: self._deleted(len(messages)),
            self._deletion_failed,
        )

    def _deleted(self, count: int) -> None:
        self._deletions.reset()
        del self._done[:count]
        self._is_deleting = bool(self._done)
        if self._done:
            self._delete()

    def _deletion_failed(self, exc: Exception) -> None:
        self._events.storage_failed(exc)
        self._link.call_later(self._deletions.next_delay(), self._delete)


def _nothing() -> None: ...
