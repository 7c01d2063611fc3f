"""The place where any thread leaves messages for the loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from snakemq.link import LinkInterface
from snakemq.message import FLAG_PERSISTENT, Message

from .._registry import Registry
from .._stats import DropReason
from ._express import ExpressLane
from ._queue._queue import OutgoingQueue
from ._queues import OutgoingQueues
from ._stored._pushing import check_headers, is_durable, push
from ._warnings import Warnings


class Outbox:
    """Stores persistent messages, and puts all messages into their queues. Thread-safe."""

    def __init__(
        self,
        link: LinkInterface,
        queues: OutgoingQueues,
        registry: Registry,
        express_lane: ExpressLane,
        warnings: Warnings,
    ) -> None:
        # Appending to a deque, and popping from it, is atomic.
        self.announced: deque[OutgoingQueue] = deque()
        """Queues into which something was put, and which the loop has not looked at since."""
        self.absent: deque[tuple[str, Message, bool]] = deque()
        """Messages with ttl 0 for peers that were not connected. True: the sender waits for an
        answer, and so will notice."""
        self.queue_of = queues.known
        # Is there nothing to be done for a message but to put it into its queue?
        self._is_plain = not queues.are_stored and queues.occupancy is None
        self._link = link
        self._time = link.time
        self._queues = queues
        self._store = self._push if queues.are_stored else self._only_warn
        self._occupancy = queues.occupancy
        self._registry = registry
        self._send_express = express_lane.send_from_any_thread
        self._warnings = warnings

    def accept(
        self,
        ident: str,
        message: Message,
        queue: OutgoingQueue | None,
        is_awaited: bool = False,
    ) -> None:
        """Accept one message. ``queue``: the queue of the peer, if there is one."""
        if not self._is_plain:
            self.accept_many(ident, [message], is_awaited)
            return
        if message.flags & FLAG_PERSISTENT:
            self._warnings.not_stored()
        message.queued_at = self._time()
        message.position = None
        if queue is None or (message.ttl == 0 and queue.lane is None):
            self.put(ident, [message], is_awaited)
            return
        # copy of put() for one that is not stored: its call would be a tenth of the time
        queue.incoming.append(message)
        if queue.is_forgotten:
            queue = self._queues.keep(queue, message)
        if not queue.is_announced:
            self.announce(queue)

    def accept_urgent(self, ident: str, message: Message, queue: OutgoingQueue | None) -> None:
        """Accept a message of a thread that is about to wait for an answer, see
        :class:`ExpressLane`."""
        if (
            queue is None
            or queue.lane is None
            or self._occupancy is not None
            or message.flags & FLAG_PERSISTENT
            or not self._send_express(message, queue)
        ):
            self.accept(ident, message, queue, is_awaited=True)

    def accept_many(
        self, ident: str, messages: Sequence[Message], is_awaited: bool = False
    ) -> None:
        """Store messages and queue them, all or none. ``is_awaited``: see :attr:`absent`.

        Raises :exc:`~snakemq.exceptions.QueueFull` and :exc:`~snakemq.exceptions.StorageError`;
        then nothing has happened.
        """
        occupancy = self._occupancy
        if not messages:
            return
        size = 0
        if occupancy is not None:
            size = sum(message.queued_size for message in messages)
            occupancy.enter(ident, len(messages), size)
        now = self._time()
        for message in messages:
            message.queued_at = now
            message.position = None
        try:
            self._store(ident, messages)
        except BaseException:
            if occupancy is not None:
                occupancy.correct(ident, -len(messages), -size)
            raise
        self.put(ident, messages, is_awaited)

    def put(self, ident: str, messages: Sequence[Message], is_awaited: bool = False) -> None:
        """Queue messages that are stored, if they have to be, and counted. ``is_awaited``: see
        :attr:`absent`."""
        queue: OutgoingQueue | None = None
        for message in messages:
            if message.ttl == 0 and ident not in self._registry:
                self.absent.append((ident, message, is_awaited))
                self._link.wakeup_poll()
                continue
            if queue is None:
                queue = self._queues.get(ident)
            queue.append(message)
            if queue.is_forgotten:
                queue = self._queues.keep(queue, message)
            # With the first one, so that the loop wakes up while the others are appended. Announced
            # behind the last one, batches of 100 take twice as long on a busy machine.
            if not queue.is_announced:
                self.announce(queue)

    def announce(self, queue: OutgoingQueue) -> None:
        """Have the loop look at a queue."""
        # The loop resets the flag before it looks at the queue, so one announcement covers all
        # messages until then.
        try:
            queue.is_announced = True
            self.announced.append(queue)
            self._link.wakeup_poll()
        except BaseException:  # Ctrl-C; other threads that see the flag rely on the announcement
            self.announced.append(queue)
            self._link.wakeup_poll()
            raise

    def hand_over(self, serve: Callable[[OutgoingQueue], None]) -> None:
        """Drop messages for absent peers, and call ``serve`` for each queue that was announced.

        For the loop only.
        """
        announced, absent = self.announced, self.absent
        for _ in range(len(absent)):  # no more, or a busy thread could keep the loop here
            ident, message, is_awaited = absent.popleft()
            if not is_awaited:
                self._warnings.absent(ident)
            self._queues.drop(self._queues.get(ident), [message], DropReason.ABSENT)
            self._queues.forget_if_empty(self._queues.get(ident))
        for _ in range(len(announced)):
            queue = announced[0]
            queue.is_announced = False  # before it is looked at, see announce()
            serve(self._queues.revived(queue))
            announced.popleft()
        if announced or absent:
            self._link.wakeup_poll()

    def _only_warn(self, ident: str, messages: Sequence[Message]) -> None:
        if any(message.flags & FLAG_PERSISTENT for message in messages):
            self._warnings.not_stored()

    def _push(self, ident: str, messages: Sequence[Message]) -> None:
        storage = self._queues.storage
        durable = [message for message in messages if is_durable(message)]
        check_headers(storage, durable)
        for message in durable:
            if message.sent_to is None:
                self._queues.finish_deletion(ident, message.uuid)
        push(storage, ident, durable)

    def size(self) -> int:
        """Count the messages that the loop has not seen yet."""
        unseen = sum(len(queue.incoming) for queue in self._queues if queue.is_announced)
        return unseen + len(self.absent)
