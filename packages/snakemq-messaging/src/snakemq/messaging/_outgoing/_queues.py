"""All outgoing queues of a stack, and their dealings with the storage and the clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from snakemq.exceptions import StorageError
from snakemq.link import LinkInterface, TimerHandle
from snakemq.message import Message
from snakemq.message._stack import size_of
from snakemq.queues import QueuesStorageBase, StoredMessage

from .._dead_letters import is_queue_of_dead_letters
from .._stats import DropReason, Statistics
from .._storekeeper import AtOnce, Storekeeper
from ._limits import Occupancy
from ._queue._expiry import ttl_left
from ._queue._queue import OutgoingQueue
from ._stored._checkpoints import Checkpoints
from ._stored._deletions import Deletions
from ._stored._null import NullStorage
from ._stored._pages import PAGE_BYTES, PAGE_MESSAGES, Pages
from ._stored._pushing import UNKNOWN
from ._stored._sweep import Sweep
from ._table import QueueTable

SWEEP_AFTER = 1.0
"""Seconds from the start until the backlogs of absent peers are searched for expired messages."""

DELETION_TIMEOUT = 1.0
"""Seconds that a send may wait for the deletion of an earlier message with the same uuid."""

LOOK_DELAY = 1.0
"""Messages that did not fit the window usually go out with the next one. After this many seconds
the rest is sorted by deadline; to do so at once would double what their queue costs."""


class QueuesOwner(Protocol):
    """What the queues tell their owner, in the loop."""

    def dropped(self, ident: str, message: Message, reason: DropReason, detail: str) -> None:
        """A message was dropped from a queue."""

    def resume(self, ident: str) -> None:
        """Messages may be taken again, or the books of the queue have changed: a page has come, the
        storage works, or nothing holds the messages up any more."""

    def storage_failed(self, exc: Exception) -> None:
        """The storage has raised. The call will be repeated."""


class OutgoingQueues(QueueTable):
    """The queues of all peers. What is here, and not in the table, belongs to the loop."""

    def __init__(
        self,
        link: LinkInterface,
        storage: QueuesStorageBase | None,
        storekeeper: Storekeeper | None,
        occupancy: Occupancy | None,
        statistics: Statistics,
        owner: QueuesOwner,
    ) -> None:
        """``storekeeper``: of the storage, if there is one."""
        super().__init__()
        self.are_stored = storage is not None
        """Is there a storage for persistent messages?"""
        self.storage = storage if storage is not None else NullStorage()
        self.occupancy = occupancy
        self._link = link
        self._statistics = statistics
        self._owner = owner
        self._log = logging.getLogger("snakemq.messaging")
        self._timers: dict[str, tuple[float, TimerHandle]] = {}
        self.resume = owner.resume
        self.storage_failed = owner.storage_failed
        if storekeeper is None:
            storekeeper = Storekeeper(link, AtOnce())  # nothing to do for a null storage
        self._storekeeper = storekeeper
        self.deletions = Deletions(link, self.storage, storekeeper, self)
        self._pages = Pages(link, self.storage, storekeeper, self)
        self._sweep = Sweep(link, self.storage, storekeeper, self)
        self._checkpoints = Checkpoints(link, self.storage, storekeeper, self)
        self._load()

    def _load(self) -> None:
        storage = self.storage
        now = self._link.time()
        for ident in storage.get_queues():
            if is_queue_of_dead_letters(ident):
                continue  # it has them beside the queues
            queue = self.get(ident)
            if storage.pageable:
                size = self._measure(storage, ident) if self.occupancy is not None else None
                queue.open_backlog(storage.count(ident), size)
                self._sweep.plan(ident, now + SWEEP_AFTER)
                self._checkpoints.plan()
                continue
            for message in storage.get_items(ident):
                message.queued_at = now
                message.position = UNKNOWN
                message.queued_size = size_of(message)
                queue.add_found(message)
                if self.occupancy is not None:
                    self.occupancy.found(ident, 1, message.queued_size)
            self.watch(queue)

    def _measure(self, storage: QueuesStorageBase, ident: str) -> int:
        """Read all pages once, because limits need to know the bytes."""
        assert self.occupancy is not None
        total = 0
        after = None
        while page := storage.get_page(ident, after, PAGE_MESSAGES, PAGE_BYTES):
            after = page[-1].position
            size = sum(size_of(stored.message) for stored in page)
            self.occupancy.found(ident, len(page), size)
            total += size
        return total

    def forget_if_empty(self, queue: OutgoingQueue) -> None:
        """Forget the queue of an absent peer for which nothing waits."""
        if not queue and queue.lane is None and self.forget(queue):
            self._statistics.not_needed_any_more()
            self._sweep.forget(queue.ident)

    def absorb(self, queue: OutgoingQueue) -> None:
        """Look at what was sent to a peer, and let it wait."""
        homeless = queue.absorb()
        if queue.backlog.soonest is not None:
            self._sweep.plan(queue.ident, queue.backlog.soonest)
        self._close_books(queue)
        if homeless:
            self.drop(queue, homeless, DropReason.ABSENT)

    def fill(self, queue: OutgoingQueue) -> None:
        """Have a page read if the queue has nothing else to be sent. When it has come, the owner
        is told to resume."""
        if queue.wants_page():
            self._pages.ask(queue)

    def page_came(self, queue: OutgoingQueue, page: Sequence[StoredMessage]) -> None:
        """Add the next page of a backlog, and go on with its queue."""
        if self.known(queue.ident) is not queue or not queue.backlog.is_open:
            return
        # First what was sent before the page was read, see Backlog.
        self.absorb(queue)
        # The storage is called in order, so what is deleted from it by now, and was not when the
        # page was read, is still pending.
        queue.add_page(page, self._link.time(), self.deletions.pending(queue.ident))
        if not queue.backlog.is_open:
            self._close_books(queue)
            self._sweep.forget(queue.ident)
        self.resume(queue.ident)

    def _close_books(self, queue: OutgoingQueue) -> None:
        """Reconcile the counts once the backlog is closed, see :meth:`Backlog.merge`.

        A positive rest never existed in the storage, a negative one was read before it was counted.
        """
        backlog = queue.backlog
        if backlog.is_open or not (backlog.count or backlog.bytes):
            return
        if self.occupancy is not None:
            self.occupancy.correct(queue.ident, -backlog.count, -backlog.bytes)
        backlog.count = backlog.bytes = 0

    def watch(self, queue: OutgoingQueue) -> None:
        """Plan the expiry of what waits. Call it when something is left in a queue."""
        deadline = queue.next_deadline()
        if queue.has_stored and (deadline is not None or queue.backlog.is_open):
            self._checkpoints.plan()
        if queue.incoming:
            look = self._link.time() + LOOK_DELAY
            deadline = look if deadline is None else min(deadline, look)
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
        queue = self.known(ident)
        if queue is not None:
            self.absorb(queue)
            was_stalled = queue.is_stalled
            self.drop(queue, queue.expire(self._link.time()), DropReason.EXPIRED)
            self.watch(queue)
            if was_stalled and not queue.is_stalled:
                self.resume(ident)
            self.forget_if_empty(queue)

    def expired_there(self, queue: OutgoingQueue, found: list[StoredMessage]) -> None:
        """Drop messages of a backlog that have expired."""
        deleted = self.deletions.pending(queue.ident)  # those were found before
        found = [stored for stored in found if stored.message.uuid not in deleted]
        self.drop(queue, self.lost(queue, found), DropReason.EXPIRED)

    @staticmethod
    def lost(queue: OutgoingQueue, found: Sequence[StoredMessage]) -> list[Message]:
        """Take messages out of a backlog, and return them. They are still in the storage."""
        queue.backlog.lost(found)
        for stored in found:
            message = stored.message
            message.position, message.queued_size = stored.position, size_of(message)
        return [stored.message for stored in found]

    @property
    def storage_blocks(self) -> bool:
        """May other threads call the storage? See :attr:`QueuesStorageBase.blocks`."""
        return self.storage.blocks

    def read_page(
        self, ident: str, after: int | None, limit: int, max_bytes: int
    ) -> Sequence[StoredMessage]:
        """Read a page for somebody who waits for it; empty if the storage has no pages.

        Raises :exc:`~snakemq.exceptions.StorageError`. Thread-safe if :attr:`storage_blocks`.
        """
        if not self.storage.pageable:
            return ()
        return self._storekeeper.ask(lambda: self.storage.get_page(ident, after, limit, max_bytes))

    def emptied(self, queue: OutgoingQueue) -> None:
        """Close a backlog in which a sweep has found nothing that can be sent: a page will tell."""
        self._pages.ask(queue)

    def is_ttl_counted(self) -> bool:
        """Does a message wait that is in the storage, and may have a ttl?"""
        return any(
            queue.has_stored and (queue.backlog.is_open or queue.next_deadline() is not None)
            for queue in self
        )

    def sweep(self, queue: OutgoingQueue) -> None:
        """Find out when the backlog of a peer that went away expires."""
        if queue.backlog.is_open:
            self._sweep.plan(queue.ident, self._link.time())

    def trim(self, queue: OutgoingQueue) -> None:
        """Drop the oldest messages if there are more than the limits allow."""
        if self.occupancy is None:
            return
        self.absorb(queue)
        while self.occupancy.is_over(queue.ident):
            self.fill(queue)
            message = queue.drop_oldest()
            if message is None:
                return  # all are in flight, or the storage fails
            self.drop(queue, [message], DropReason.QUEUE_FULL)

    def drop(
        self,
        queue: OutgoingQueue,
        messages: Iterable[Message],
        reason: DropReason,
        detail: str = "",
    ) -> None:
        """Report messages that left the queue without being delivered, and retire them.

        ``detail``: what the receiver says of a message that it has rejected.
        """
        for message in messages:
            self.retire(queue, [message])
            self.report_drop(queue.ident, message, reason, detail)

    def report_drop(
        self, ident: str, message: Message, reason: DropReason, detail: str = ""
    ) -> None:
        """Report a message that was retired without being delivered."""
        self._statistics.of(ident).count_drop(reason)
        self._log.debug("ident=%s drop %s", ident, message)
        self._owner.dropped(ident, message, reason, detail)

    def retire(self, queue: OutgoingQueue, messages: Sequence[Message]) -> None:
        """Delete messages that left the queue for good from the storage, soon."""
        if self.occupancy is not None:
            for message in messages:
                self.occupancy.leave(queue.ident, message.queued_size)
        if queue.has_stored:
            self.deletions.retired(queue.ident, messages)

    def keep_up(self, queue: OutgoingQueue, window: int) -> None:
        """See :meth:`Deletions.keep_up`."""
        if queue.has_stored:
            self.deletions.keep_up(queue.ident, window)

    def finish_deletion(self, ident: str, uuid: bytes) -> None:
        """Delete the row of an earlier message with this uuid, before the next one is stored.

        A callback that learns that its message was dropped may send it once more under the same
        uuid. The storage would ignore it for the sake of the row, which is about to be deleted.

        Waits for the storage thread, like the push that follows, but no longer than
        :data:`DELETION_TIMEOUT`. Raises :exc:`~snakemq.exceptions.StorageError`. Does nothing
        outside of the loop, which has usually deleted before another thread hears of the drop.
        """
        if (
            uuid in self.deletions.pending(ident)
            and self._link.in_loop()
            and not self.deletions.finish(ident, uuid, DELETION_TIMEOUT)
        ):
            raise StorageError(
                f"the last message with the uuid {uuid.hex()} for {ident!r} cannot be deleted"
                " from the storage at present",
                temporary=True,
            )

    def store_ttls(self, failed: Callable[[Exception], object]) -> None:
        """Bring the ttls in the storage up to date, if it does not count them itself."""
        if self.storage.pageable:
            return
        now = self._link.time()
        outdated = []
        for queue in self:
            queue.absorb()
            for message in queue:
                if message.position is not None and message.ttl:
                    left = ttl_left(message, now)
                    outdated.append(
                        Message(message.data, left, message.flags, message.uuid, message.headers)
                    )
        if outdated:
            self._storekeeper.do(
                lambda: self.storage.update_items_ttl(outdated), lambda _: None, failed
            )
