"""All outgoing queues of a stack, and their dealings with the storage and the clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

from snakemq.link import LinkInterface, TimerHandle
from snakemq.message import Message
from snakemq.queues import OutgoingQueue, QueuedMessage, QueuesStorageBase

from ._limits import Occupancy
from ._stats import DropReason, Statistics

DELETE_DELAY = 0.02
"""Deletions are collected for this many seconds: one commit instead of one for each message. A
crash in between costs duplicates, which the storage's promise allows."""

DELETE_BATCH = 1000
"""Deletions are not collected beyond this number."""

RETRY_DELAY = 1.0
"""Seconds until a failed deletion is tried again."""


class OutgoingQueues:
    """Queues by ident. For the loop's thread only, as everything but the storage's ``push``."""

    def __init__(
        self,
        link: LinkInterface,
        storage: QueuesStorageBase | None,
        occupancy: Occupancy | None,
        statistics: Statistics,
        dropped: Callable[[str, bytes], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """``dropped(ident, uuid)`` is called for each message that is dropped from a queue,
        ``failed(exception)`` when the storage fails."""
        self._link = link
        self._storage = storage
        self._occupancy = occupancy
        self._statistics = statistics
        self._dropped = dropped
        self._failed = failed
        self._log = logging.getLogger("snakemq.messaging")
        self._queues: dict[str, OutgoingQueue] = {}
        self._timers: dict[str, tuple[float, TimerHandle]] = {}
        self._deletions: dict[str, list[Message]] = {}
        self._deletion_count = 0
        self._deletion_timer: TimerHandle | None = None
        self._deletion_failed = False
        self._lag: dict[str, int] = {}
        """By ident: messages retired from the oldest one on that is to be deleted."""
        if storage is not None:
            self._load(storage)

    def _load(self, storage: QueuesStorageBase) -> None:
        now = self._link.time()
        for ident in storage.get_queues():
            queue = self.get(ident)
            for message in storage.get_items(ident):
                entry = QueuedMessage(message, now, stored=True)
                if message.ttl is not None:
                    # Nothing with a ttl of 0 is stored, so this one has expired in the storage.
                    entry.deadline = now + message.ttl
                queue.push(entry)
                if self._occupancy is not None:
                    self._occupancy.enter_anyway(ident, len(message.data))
            self.watch(queue)

    def get(self, ident: str) -> OutgoingQueue:
        """The queue of a peer; made when there is none."""
        queue = self._queues.get(ident)
        if queue is None:
            queue = self._queues[ident] = OutgoingQueue(ident)
        return queue

    def __iter__(self) -> Iterator[OutgoingQueue]:
        return iter(list(self._queues.values()))

    def forget_if_empty(self, queue: OutgoingQueue) -> None:
        """Of peers that are away and get nothing, nothing is kept."""
        if not queue and not queue.is_connected and self._queues.get(queue.ident) is queue:
            del self._queues[queue.ident]

    def watch(self, queue: OutgoingQueue) -> None:
        """Plan the expiry of what waits in a queue. To be called when something was left in it."""
        deadline = queue.next_deadline()
        planned = self._timers.get(queue.ident)
        if deadline is None:
            return  # a timer that finds nothing does no harm
        if planned is not None:
            if planned[0] <= deadline:
                return
            planned[1].cancel()
        timer = self._link.call_later(
            deadline - self._link.time(), lambda: self._expire(queue.ident)
        )
        self._timers[queue.ident] = (deadline, timer)

    def _expire(self, ident: str) -> None:
        self._timers.pop(ident, None)
        queue = self._queues.get(ident)
        if queue is not None:
            self.drop(queue, queue.expire(self._link.time()), DropReason.EXPIRED)
            self.watch(queue)
            self.forget_if_empty(queue)

    def trim(self, queue: OutgoingQueue) -> None:
        """Drop the oldest messages if there are more than the limits allow."""
        if self._occupancy is None:
            return
        while self._occupancy.is_over(queue.ident):
            entry = queue.drop_oldest()
            if entry is None:
                return  # all are in flight
            self.drop(queue, [entry], DropReason.QUEUE_FULL)

    def drop(
        self, queue: OutgoingQueue, entries: Iterable[QueuedMessage], reason: DropReason
    ) -> None:
        """Messages that left the queue without being delivered."""
        for entry in entries:
            self.retire(queue, entry)
            self._statistics.of(queue.ident).count_drop(reason)
            self._log.debug("ident=%s drop %s", queue.ident, entry.message)
            self._dropped(queue.ident, entry.message.uuid)

    def retire(self, queue: OutgoingQueue, entry: QueuedMessage) -> None:
        """A message left the queue for good: it is deleted from the storage, soon."""
        if self._occupancy is not None:
            self._occupancy.leave(queue.ident, len(entry.message.data))
        if entry.stored:
            self._deletions.setdefault(queue.ident, []).append(entry.message)
            self._deletion_count += 1
            if self._deletion_timer is None:
                self._deletion_timer = self._link.call_later(DELETE_DELAY, self.flush_deletions)
        if queue.ident in self._deletions:
            self._lag[queue.ident] = self._lag.get(queue.ident, 0) + 1

    def keep_up(self, queue: OutgoingQueue, window: int) -> None:
        """Delete now if a window of messages was acknowledged since a deletion became due.

        What is in the storage is sent again after a crash. The receiver remembers two windows of
        messages, of which one may be in flight.
        """
        if self._lag.get(queue.ident, 0) >= window and not self._deletion_failed:
            self.flush_deletions()

    def flush_deletions_if_many(self) -> None:
        if self._deletion_count >= DELETE_BATCH and not self._deletion_failed:
            self.flush_deletions()

    def flush_deletions(self) -> None:
        """Delete from the storage what was retired. A failure is reported and tried again."""
        if self._deletion_timer is not None:
            self._deletion_timer.cancel()
            self._deletion_timer = None
        if self._storage is None:
            return
        while self._deletions:
            ident, messages = next(iter(self._deletions.items()))
            try:
                self._storage.delete(ident, messages)
            except Exception as exc:  # StorageError, if the storage keeps its contract
                self._deletion_failed = True
                self._failed(exc)
                self._deletion_timer = self._link.call_later(RETRY_DELAY, self.flush_deletions)
                return
            self._deletion_failed = False
            del self._deletions[ident]
            self._lag.pop(ident, None)
            self._deletion_count -= len(messages)

    def store_ttls(self) -> None:
        """Bring the ttls in the storage up to date."""
        if self._storage is None:
            return
        now = self._link.time()
        for queue in self:
            outdated = []
            for entry in queue:
                if entry.stored and entry.deadline is not None:
                    message = entry.message
                    left = max(0.0, entry.deadline - now)
                    outdated.append(Message(message.data, left, message.flags, message.uuid))
            if outdated:
                self._storage.update_items_ttl(outdated)
