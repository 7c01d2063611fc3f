"""The outgoing side: from the outbox through the queues to the packeter."""

from __future__ import annotations

from collections import deque

from snakemq.callbacks import Callback
from snakemq.exceptions import SnakeMQBrokenMessage, SnakeMQMessageTooLarge
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.packeter import Packeter
from snakemq.queues import OutgoingQueue, QueuedMessage, QueuesStorageBase

from . import _frames as frames
from ._events import Events
from ._limits import Occupancy
from ._queues import OutgoingQueues
from ._session import Session
from ._stats import DropReason, Statistics

SEND_AHEAD = 512 * 1024
"""Messages are given to the packeter until that many bytes are queued there: enough to keep the
system busy for a pass of the loop. What is there cannot expire any more."""


class Sender:
    """Takes messages from any thread, and sends them when their peer is connected.

    :meth:`accept` is thread-safe, all else belongs to the loop.
    """

    def __init__(
        self,
        packeter: Packeter,
        storage: QueuesStorageBase | None,
        occupancy: Occupancy | None,
        statistics: Statistics,
        events: Events,
    ) -> None:
        self.on_message_sent: Callback[[str, str, bytes]] = Callback()
        self.on_message_delivered: Callback[[str, str, bytes]] = Callback()
        self.on_message_drop: Callback[[str, bytes]] = Callback()
        self._packeter = packeter
        self._link = packeter.link
        self._events = events
        self._connected: dict[str, Session] = {}
        self._storage = storage
        self._occupancy = occupancy
        self._queues = OutgoingQueues(
            self._link, storage, occupancy, statistics, self._dropped, self._storage_failed
        )
        # What accept() leaves for the loop: appending to and popping from a deque is atomic.
        self._outbox: deque[tuple[str, QueuedMessage]] = deque()
        self._outbox_noticed = False

    # -- from any thread

    def accept(self, ident: str, message: Message) -> None:
        """Store a message if it is persistent, and queue it. Thread-safe.

        Raises :exc:`~snakemq.exceptions.QueueFull` and :exc:`~snakemq.exceptions.StorageError`;
        then nothing has happened.
        """
        occupancy = self._occupancy
        if occupancy is not None:
            occupancy.enter(ident, len(message.data))
        stored = False
        if self._storage is not None and message.flags & FLAG_PERSISTENT and message.ttl != 0:
            try:
                self._storage.push(ident, message)
            except BaseException:
                if occupancy is not None:
                    occupancy.leave(ident, len(message.data))
                raise
            stored = True
        entry = QueuedMessage(message, self._link.time(), stored)
        if message.ttl == 0 and ident not in self._connected:
            entry.deadline = entry.queued_at  # it is over already; the loop will report it
        self._outbox.append((ident, entry))
        # The flag is cleared before the outbox is emptied: who finds it set knows that the loop
        # has yet to look.
        if not self._outbox_noticed:
            self._outbox_noticed = True
            self._link.wakeup_poll()

    # -- in the loop

    def on_loop_pass(self) -> None:
        self._queues.flush_deletions_if_many()
        if self._outbox:
            self._empty_outbox()

    def _empty_outbox(self) -> None:
        self._outbox_noticed = False
        outbox = self._outbox
        changed: dict[str, OutgoingQueue] = {}
        absent: list[tuple[OutgoingQueue, QueuedMessage]] = []
        for _ in range(len(outbox)):  # no more, or a busy thread could keep the loop here
            ident, entry = outbox.popleft()
            queue = changed.get(ident)
            if queue is None:
                queue = changed[ident] = self._queues.get(ident)
            message = entry.message
            if message.ttl == 0 and (entry.deadline is not None or ident not in self._connected):
                # Reported later: a callback that closes a connection would change the queues.
                absent.append((queue, entry))
            else:
                queue.push(entry)
        if outbox:
            self._link.wakeup_poll()
        for queue, entry in absent:
            self._queues.drop(queue, [entry], DropReason.ABSENT)
        for ident, queue in changed.items():
            session = self._connected.get(ident)
            if session is not None:
                self.pump(session)
                self._queues.trim(queue)
            else:
                self._queues.trim(queue)
                self._queues.watch(queue)
                self._queues.forget_if_empty(queue)

    def connected(self, session: Session, ident: str) -> None:
        """From now on messages for ``ident`` go to this connection."""
        session.queue = self._queues.get(ident)
        session.queue.is_connected = True
        self._connected[ident] = session

    def disconnected(self, session: Session) -> list[QueuedMessage]:
        """Messages wait again. Returns those that do not, to be given to :meth:`drop`."""
        queue = session.queue
        assert queue is not None
        del self._connected[queue.ident]
        return queue.disconnected(self._link.time())

    def settle(self, session: Session, dropped: list[QueuedMessage]) -> None:
        """After the disconnection was told: report what was dropped with it, and tidy up."""
        queue = session.queue
        assert queue is not None
        self._queues.drop(queue, dropped, DropReason.DISCONNECTED)
        self._queues.watch(queue)
        self._queues.flush_deletions()
        self._queues.forget_if_empty(queue)

    def pump(self, session: Session) -> None:
        """Give waiting messages to the packeter, until enough is there."""
        queue = session.queue
        if queue is None or session.closed or not len(queue):
            return
        packeter = self._packeter
        conn_id = session.conn_id
        now = self._link.time()
        features = session.features
        largest = frames.MAX_PACKET_SIZE if features is None else features.max_packet_size
        budget = SEND_AHEAD - packeter.get_unsent_size(conn_id)
        expired: list[QueuedMessage] = []
        too_large: list[QueuedMessage] = []
        counters = session.counters
        while budget > 0:
            if session.acks and not self._has_room(session, queue):
                break
            entry = queue.take(now, expired)
            if entry is None:
                break
            message = entry.message
            size = frames.MESSAGE_HEADER_SIZE + len(message.data)
            if size > largest:
                too_large.append(queue.withdraw_last())
                continue
            ttl = entry.whole_seconds_left(now)
            if ttl == 0 and session.acks and message.ttl != 0:
                ttl = 1  # 0 says that it will not be sent again, so that nobody looks for it
            header = frames.encode_message_header(message.uuid, ttl, message.flags)
            session.unsent.append((packeter.send_packet(conn_id, header, message.data), entry))
            budget -= size
            counters.sent += 1
            counters.sent_bytes += len(message.data)
            if entry.sent_before:
                counters.resent += 1
        if session.acks and session.round_trip_probe is None and queue.in_flight:
            session.round_trip_probe = (session.acked + len(queue.in_flight), now)
        packeter.flush(conn_id)
        if len(queue):
            self._queues.watch(queue)
        # Callbacks come last, because one may close the connection.
        if expired:
            self._queues.drop(queue, expired, DropReason.EXPIRED)
        for entry in too_large:
            self._events.report(conn_id, _too_large(queue.ident, largest, entry.message))
            self._queues.drop(queue, [entry], DropReason.TOO_LARGE)

    def _has_room(self, session: Session, queue: OutgoingQueue) -> bool:
        """Is the peer's window open? It lets one message in, however large, when it is empty."""
        features = session.features
        return not queue.in_flight or (
            features is not None
            and len(queue.in_flight) < features.window_messages
            and queue.in_flight_bytes < features.window_bytes
        )

    def packets_sent(self, session: Session, packet_id: int) -> None:
        """The system has taken over all packets of this connection up to that one."""
        queue = session.queue
        if queue is None:
            return
        unsent = session.unsent
        sent: list[QueuedMessage] = []
        while unsent and unsent[0][0] <= packet_id:
            sent.append(unsent.popleft()[1])
        if not session.acks:
            for entry in queue.landed(len(sent)):
                self._queues.retire(queue, entry)
        self._tell(self.on_message_sent, session, queue, sent)
        self.pump(session)

    def acked(self, session: Session, processed: int) -> None:
        """The peer has processed that many messages of this connection.

        Raises :exc:`~snakemq.exceptions.SnakeMQBrokenMessage` if that cannot be.
        """
        queue = session.queue
        assert queue is not None
        count = processed - session.acked
        if not 0 <= count <= len(queue.in_flight):
            raise SnakeMQBrokenMessage(
                f"{processed} messages acknowledged, after {session.acked},"
                f" with {len(queue.in_flight)} in flight"
            )
        session.acked = processed
        session.counters.delivered += count
        probe = session.round_trip_probe
        if probe is not None and processed >= probe[0]:
            session.round_trip_probe = None
            session.counters.measured_round_trip(self._link.time() - probe[1])
        # The ack can be here before the link has reported the send.
        sent: list[QueuedMessage] = []
        while len(session.unsent) > len(queue.in_flight) - count:
            sent.append(session.unsent.popleft()[1])
        delivered = queue.landed(count)
        for entry in delivered:
            self._queues.retire(queue, entry)
        self._tell(self.on_message_sent, session, queue, sent)
        self._tell(self.on_message_delivered, session, queue, delivered)
        self.pump(session)

    def _tell(
        self,
        callback: Callback[[str, str, bytes]],
        session: Session,
        queue: OutgoingQueue,
        entries: list[QueuedMessage],
    ) -> None:
        """Not before the books are closed: a callback may close the connection."""
        if callback.callbacks:
            conn_id = session.conn_id
            for entry in entries:
                self._events.emit(conn_id, callback, conn_id, queue.ident, entry.message.uuid)

    def queues(self) -> list[OutgoingQueue]:
        """All queues. Thread-safe."""
        return list(self._queues)

    def outbox_size(self) -> int:
        """Messages that the loop has not seen yet. Thread-safe."""
        return len(self._outbox)

    def close(self) -> None:
        """Bring the storage up to date. Raises :exc:`~snakemq.exceptions.StorageError`."""
        self._queues.flush_deletions()
        self._queues.store_ttls()

    def _dropped(self, ident: str, uuid: bytes) -> None:
        self._events.emit(None, self.on_message_drop, ident, uuid)

    def _storage_failed(self, exc: Exception) -> None:
        self._events.report(None, exc)


def _too_large(ident: str, largest: int, message: Message) -> SnakeMQMessageTooLarge:
    size = frames.MESSAGE_HEADER_SIZE + len(message.data)
    return SnakeMQMessageTooLarge(
        f"{ident!r} takes packets of up to {largest} bytes, this message needs {size}"
    )
