"""Deleting from the storage what has left its queue."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from snakemq.link import LinkInterface, TimerHandle
from snakemq.message import Message
from snakemq.queues import QueuesStorageBase

from ..._patience import Patience
from ..._storekeeper import Storekeeper
from ._owner import Owner

DELETE_DELAY = 0.02
"""Deletions are collected for this many seconds: one commit instead of one for each message. A
crash in between costs duplicates, which the storage's promise allows."""

DELETE_BATCH = 1000
"""More deletions than this do not wait to be collected."""


class Due:
    """What is to be deleted from one queue."""

    __slots__ = ("lag", "messages")

    def __init__(self) -> None:
        self.messages: dict[bytes, Message] = {}
        self.lag = 0
        """How many messages left the queue since the oldest of these, which is counted too."""


class Batch:
    """Deletions that are given to the storage together. Its thread calls :meth:`delete`."""

    def __init__(self, storage: QueuesStorageBase, dues: Mapping[str, Due]) -> None:
        self.dues = dues
        self.deleted: list[str] = []
        """The queues with which the storage is done."""
        self.error: Exception | None = None
        self.is_over = False
        """Has the storage answered, or failed?"""
        self._storage = storage

    def delete(self) -> None:
        try:
            for ident, due in self.dues.items():
                self._storage.delete(ident, list(due.messages.values()))
                self.deleted.append(ident)
        except Exception as exc:  # StorageError, if the storage keeps its contract
            self.error = exc
            raise
        finally:
            self.is_over = True


class Deletions:
    """Collects deletions, and repeats those that failed. For the loop's thread only.

    One batch at a time is under way; meanwhile the next one is collected.
    """

    def __init__(
        self,
        link: LinkInterface,
        storage: QueuesStorageBase,
        storekeeper: Storekeeper,
        owner: Owner,
    ) -> None:
        self.count = 0
        """How many messages are collected."""
        self._link = link
        self._storage = storage
        self._storekeeper = storekeeper
        self._owner = owner
        self._collected: dict[str, Due] = {}
        self._batch: Batch | None = None
        """What the storage is deleting."""
        self._is_next_due = False
        """Is what is collected to be deleted as soon as the batch is over?"""
        self._last: Batch | None = None
        """The batch that was under way at the close, and is tried at once again if it fails."""
        self._held: dict[str, None] = {}  # a set with an order
        """Peers to which nothing is sent until a batch is over."""
        self._timer: TimerHandle | None = None
        self._patience = Patience()

    def retired(self, ident: str, messages: Sequence[Message]) -> None:
        """Note messages that left their queue for good. Those that are stored are deleted soon."""
        under_way = self._batch.dues.get(ident) if self._batch is not None else None
        if under_way is not None:
            under_way.lag += len(messages)
        due = self._collected.get(ident)
        count = len(due.messages) if due is not None else 0
        for message in messages:
            if message.position is not None:
                if due is None:
                    due = self._collected[ident] = Due()
                due.messages[message.uuid] = message
            if due is not None:
                due.lag += 1
        if due is not None:
            self.count += len(due.messages) - count
            if self._timer is None:
                self._timer = self._link.call_later(DELETE_DELAY, self.flush)

    def pending(self, ident: str) -> Collection[bytes]:
        """Return the uuids of messages in the storage that have left their queue for good.

        They include those of the batch that is under way: a page that was read before it may have
        them.
        """
        collected = self._collected.get(ident)
        under_way = self._batch.dues.get(ident) if self._batch is not None else None
        if collected is None or under_way is None:
            due = collected or under_way
            return due.messages if due is not None else ()
        return collected.messages.keys() | under_way.messages.keys()

    def hasten(self, ident: str, uuid: bytes) -> bool:
        """Have a message deleted before any call that is given to the storage from now on. Returns
        False if that is not possible before the batch that is under way is over."""
        for _ in range(2):
            collected = self._collected.get(ident)
            if collected is None or uuid not in collected.messages:
                return True
            self.flush()
        return False

    def _lag(self, ident: str) -> int:
        due = self._batch.dues.get(ident) if self._batch is not None else None
        due = due or self._collected.get(ident)
        return due.lag if due is not None else 0

    def keep_up(self, ident: str, window: int) -> None:
        """Delete now if a window of messages was acknowledged since a deletion became due.

        After a crash, what is in the storage is sent again. The receiver remembers two windows of
        messages, and one of them may be in flight.
        """
        if self._lag(ident) >= window and not self._patience.has_failed:
            self.flush()

    def room(self, ident: str, window: int, before: int) -> int:
        """Return how many messages may be sent now, so that a receiver that remembers two windows
        of messages knows all those that a crash would make us repeat.

        ``before``: how many others would come before the last of these then, deleted ones apart:
        those in flight, and stored ones that these overtake.

        The storage may be slow: then the queue waits for it. While it fails, messages go on.
        """
        if self._patience.has_failed:
            return window
        room = 2 * window - before - self._lag(ident)
        if room <= 0:
            self._held[ident] = None
        return room

    def flush_if_many(self) -> None:
        if self.count >= DELETE_BATCH and not self._patience.has_failed:
            self.flush()

    def flush_unless_failing(self) -> None:
        """Delete now, unless the storage fails."""
        if not self._patience.has_failed:
            self.flush()

    def flush(self) -> None:
        """Delete all that was collected. A failure is reported, and the call repeated later."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._batch is not None:
            self._is_next_due = True
            return
        if not self._collected:
            return
        batch = self._batch = Batch(self._storage, self._collected)
        self._collected = {}
        self.count = 0
        self._storekeeper.do(
            batch.delete,
            lambda _: self._end(batch, None),
            lambda exc: self._end(batch, exc),
        )

    def close(self) -> None:
        """Delete all that was collected, as :meth:`flush` does. The batch that is under way may
        have begun to fail before the storage was well again, so that one is tried once more."""
        self._last = self._batch
        self.flush()

    def _end(self, batch: Batch, exc: Exception | None) -> None:
        if batch is not self._batch:
            return  # finish() did not wait for the report
        self._batch = None
        held, self._held = self._held, {}
        if exc is None:
            self._patience.reset()
            if self._is_next_due or self.count >= DELETE_BATCH:
                self._is_next_due = False
                self.flush()
        else:
            self._is_next_due = False
            self._take_back(batch)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._link.call_later(self._patience.next_delay(), self.flush)
            self._owner.storage_failed(exc)
            if batch is self._last:
                self.flush()
        for ident in held:
            self._owner.resume(ident)

    def _take_back(self, batch: Batch) -> None:
        """Collect again what could not be deleted."""
        if batch.deleted:
            self._patience.reset()
        for ident, due in batch.dues.items():
            if ident in batch.deleted:
                continue
            younger = self._collected.get(ident)
            if younger is not None:
                self.count -= len(younger.messages)
                due.messages.update(younger.messages)
            self._collected[ident] = due
            self.count += len(due.messages)

    def finish(self, ident: str, uuid: bytes, timeout: float) -> bool:
        """Delete a message now, and wait for that. Returns False if it is still in the storage.

        Waits up to ``timeout`` seconds for the batch that is under way, and as long for the next.
        """
        for _ in range(2):
            if uuid not in self.pending(ident):
                return True
            self.flush()
            if not self._storekeeper.wait(timeout):
                return False
            batch = self._batch
            if batch is not None and batch.is_over:
                self._end(batch, batch.error)
        return uuid not in self.pending(ident)
