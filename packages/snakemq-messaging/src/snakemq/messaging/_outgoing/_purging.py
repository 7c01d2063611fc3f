"""Taking messages out of queues because the application says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from snakemq.message import Message
from snakemq.queues import StoredMessage

from .._errands import Errands
from .._loop_calls import LoopCalls
from .._stats import DropReason
from ._queue._queue import OutgoingQueue
from ._queued import Purged
from ._queues import OutgoingQueues

PAGE_MESSAGES = 250
"""Stored messages that are looked at in one go."""

PAGE_BYTES = 1024 * 1024
"""Bytes of them. A page may go beyond this by one message."""


class Search:
    """A search in the part of a queue that is only in the storage."""

    __slots__ = ("after", "end", "is_over", "losses", "queue")

    def __init__(self, queue: OutgoingQueue) -> None:
        self.queue = queue
        self.is_over = False
        self.end = queue.backlog.end
        """Messages behind this position were sent since."""
        self.after = queue.backlog.cursor
        """Where the next page begins."""
        self.losses = queue.backlog.losses
        """While this has not changed, what a page shows is still there, or has come into memory."""


class Purging:
    """Takes out messages that are not on their way. Any thread calls it.

    What is in memory is taken out on the loop's side. What is in the storage is read by the calling
    thread and then taken out on the loop's side, if it is still there. Either way the loop reports
    it, later.
    """

    def __init__(
        self,
        queues: OutgoingQueues,
        errands: Errands,
        calls: LoopCalls,
        announce: Callable[[OutgoingQueue], object],
        in_line: Callable[[str], set[bytes]],
    ) -> None:
        """``announce``: have the loop look at a queue. Thread-safe. ``in_line(ident)``: the uuids
        of messages that will come into a queue, and may be in the storage already."""
        self._queues = queues
        self._errands = errands
        self._calls = calls
        self._announce = announce
        self._in_line = in_line

    # -- from any thread

    def cancel(self, ident: str, uuid: bytes, timeout: float) -> bool:
        """See :meth:`PeerQueue.cancel`."""
        while True:
            search = self._calls.make(partial(self._take, ident, uuid), timeout)
            if not isinstance(search, Search):
                return search
            stored = self._find(search, uuid, timeout)
            if stored is None:
                return False
            is_taken = self._calls.make(partial(self._take_found, search, stored), timeout)
            if is_taken is not None:
                return is_taken

    def drop(self, ident: str, timeout: float) -> Purged:
        """See :meth:`Messaging.drop_queue`."""
        dropped, in_flight, search = self._calls.make(partial(self._take_all, ident), timeout)
        while search is not None and not search.is_over:
            page = self.read(ident, search.after, timeout)
            dropped += self._calls.make(partial(self._take_page, search, page), timeout)
        return Purged(dropped, in_flight)

    def read(self, ident: str, after: int | None, timeout: float) -> Sequence[StoredMessage]:
        """Read a page of a queue from the storage, in the calling thread."""
        queues = self._queues
        read = partial(queues.read_page, ident, after, PAGE_MESSAGES, PAGE_BYTES)
        # A storage that never blocks may be called in the loop only.
        return read() if queues.storage_blocks else self._calls.make(read, timeout)

    def _find(self, search: Search, uuid: bytes, timeout: float) -> StoredMessage | None:
        after = search.after
        while page := self.read(search.queue.ident, after, timeout):
            for stored in page:
                if stored.message.uuid == uuid:
                    return stored
            after = page[-1].position
        return None

    # -- on the loop's side

    def look_at(self, ident: str) -> OutgoingQueue | None:
        """Return the queue of a peer after it has seen all that was sent."""
        queue = self._queues.known(ident)
        if queue is not None and queue.incoming:
            homeless = queue.absorb()
            if homeless:
                self._queues.retire(queue, homeless)
                self._report(queue, homeless, DropReason.ABSENT)
            self._announce(queue)
        return queue

    def elsewhere(self, ident: str) -> set[bytes]:
        """Return the uuids of messages that may be in the storage, and are not in the queue any
        more, or not yet."""
        return self._in_line(ident).union(self._queues.deletions.pending(ident))

    def _take(self, ident: str, uuid: bytes) -> bool | Search:
        """Take out a message, or say where to search for it."""
        queue = self.look_at(ident)
        if queue is None:
            return False
        found = [message for message in queue.that_wait() if message.uuid == uuid]
        self._remove(queue, found)
        if found or not queue.backlog.is_open:
            return bool(found)
        return Search(queue)

    def _take_all(self, ident: str) -> tuple[int, int, Search | None]:
        queue = self.look_at(ident)
        if queue is None:
            return 0, 0, None
        found = list(queue.that_wait())
        self._remove(queue, found)
        search = Search(queue) if queue.backlog.is_open else None
        return len(found), len(queue.in_flight), search

    def _take_found(self, search: Search, found: StoredMessage) -> bool | None:
        """Take out a message that was found in the storage. ``None``: search again."""
        queue, backlog = search.queue, search.queue.backlog
        if backlog.losses != search.losses:
            return None
        if found.message.uuid in self.elsewhere(queue.ident):
            return False
        if not backlog.is_beyond(found.position):
            return None  # it has come into memory since
        self._remove_stored(queue, [found])
        return True

    def _take_page(self, search: Search, page: Sequence[StoredMessage]) -> int:
        """Take out the messages of a page, and those that have come into memory meanwhile. Returns
        how many there were."""
        queue, backlog = search.queue, search.queue.backlog
        if self._queues.known(queue.ident) is not queue:
            search.is_over = True
            return 0
        came = [
            message
            for message in queue.that_wait()
            if message.position is not None and backlog.has_before(message.position, search.end)
        ]
        self._remove(queue, came)
        if backlog.losses != search.losses:
            search.losses = backlog.losses
            return len(came)  # the page has to be read again
        elsewhere = self.elsewhere(queue.ident)
        found = [
            stored
            for stored in page
            if backlog.has_before(stored.position, search.end)
            and backlog.is_beyond(stored.position)
            and stored.message.uuid not in elsewhere
        ]
        search.is_over = not page or not backlog.has_before(page[-1].position, search.end)
        if page:
            search.after = page[-1].position
        self._remove_stored(queue, found)
        search.losses = backlog.losses
        if search.is_over:
            self._queues.fill(queue)  # a page will close the backlog, if nothing is left
        return len(came) + len(found)

    def _remove_stored(self, queue: OutgoingQueue, found: Sequence[StoredMessage]) -> None:
        """Take out messages that are only in the storage."""
        if found:
            messages = self._queues.lost(queue, found)
            self._queues.retire(queue, messages)
            self._report(queue, messages, DropReason.PURGED)

    def _remove(self, queue: OutgoingQueue, messages: Sequence[Message]) -> None:
        if not messages:
            return
        for message in messages:
            queue.remove(message)
        queue.strip()
        self._queues.retire(queue, messages)
        self._report(queue, messages, DropReason.PURGED)

    def _report(
        self, queue: OutgoingQueue, messages: Iterable[Message], reason: DropReason
    ) -> None:
        self._errands.give(partial(self._do_report, queue, messages, reason))

    def _do_report(
        self, queue: OutgoingQueue, messages: Iterable[Message], reason: DropReason
    ) -> None:
        for message in messages:
            self._queues.report_drop(queue.ident, message, reason)
        self._queues.resume(queue.ident)
