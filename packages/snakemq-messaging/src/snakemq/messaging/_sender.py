"""The outgoing side: from the outbox through the queues to the packeter."""

from __future__ import annotations

from collections import deque
from itertools import islice

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
        # What is taken out of it and not dealt with yet. Kept here, because a callback may be
        # interrupted by Ctrl-C, and the loop be entered again.
        self._changed: dict[str, OutgoingQueue] = {}
        self._absent: deque[tuple[OutgoingQueue, QueuedMessage]] = deque()

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
        self._link.wakeup_poll()

    # -- in the loop

    def on_loop_pass(self) -> None:
        self._queues.flush_deletions_if_many()
        if self._outbox:
            self._empty_outbox()
        if self._changed:
            try:
                self._serve_changed()
            except BaseException:
                self._link.wakeup_poll()
                raise

    def _empty_outbox(self) -> None:
        outbox = self._outbox
        changed = self._changed
        for _ in range(len(outbox)):  # no more, or a busy thread could keep the loop here
            ident, entry = outbox.popleft()
            queue = changed.get(ident)
            if queue is None:
                queue = changed[ident] = self._queues.get(ident)
            message = entry.message
            if message.ttl == 0 and (entry.deadline is not None or ident not in self._connected):
                # Reported later: a callback that closes a connection would change the queues.
                self._absent.append((queue, entry))
            else:
                queue.push(entry)
        if outbox:
            self._link.wakeup_poll()

    def _serve_changed(self) -> None:
        """Send what has come into the queues, or plan its end."""
        while self._absent:
            queue, entry = self._absent.popleft()
            self._queues.drop(queue, [entry], DropReason.ABSENT)
        for ident in list(self._changed):
            queue = self._changed.pop(ident)
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
        while self._pump_batch(session):
            pass

    def _pump_batch(self, session: Session) -> bool:
        """True if it is to be called again: messages were taken out of the way of the others."""
        queue = session.queue
        if queue is None or session.closed or not len(queue):
            return False
        packeter = self._packeter
        conn_id = session.conn_id
        now = self._link.time()
        max_messages, max_bytes = self._room(session, queue)
        expired: list[QueuedMessage] = []
        entries = queue.take(now, max_messages, max_bytes, expired)
        too_large = self._withdraw_too_large(session, queue, entries)
        # One struct for both headers, one call for all packets: a quarter of the cost of a call
        # of send_packet() for each message.
        pack = frames.pack_message_packet
        parts: list[bytes] = []
        sizes: list[int] = []
        resent = data_size = 0
        for entry in entries:
            message = entry.message
            data = message.data
            size = len(data)
            data_size += size
            size += frames.MESSAGE_HEADER_SIZE
            ttl = entry.whole_seconds_left(now)
            if ttl is None:
                ttl = frames.INFINITE_TTL
            elif ttl == 0 and message.ttl and session.acks:
                ttl = 1  # 0 says that it will not come again, so that nobody looks for it
            parts.append(pack(size, frames.FRAME_TYPE_MESSAGE, message.uuid, ttl, message.flags))
            parts.append(data)
            sizes.append(size + frames.PACKET_SIZE_LENGTH)
            if entry.sent_before:
                resent += 1
        if sizes:
            first_id = packeter.send_framed(conn_id, parts, sizes)
            session.unsent.append((first_id, first_id + len(sizes) - 1))
            counters = session.counters
            counters.sent += len(sizes)
            counters.sent_bytes += data_size
            counters.resent += resent
            if session.acks and session.round_trip_probe is None:
                session.round_trip_probe = (session.acked + len(queue.in_flight), now)
            packeter.flush(conn_id)
        if len(queue):
            self._queues.watch(queue)
        # Callbacks come last, because one may close the connection.
        if expired:
            self._queues.drop(queue, expired, DropReason.EXPIRED)
        for entry in too_large:
            self._events.report(conn_id, _too_large(queue.ident, session, entry.message))
            self._queues.drop(queue, [entry], DropReason.TOO_LARGE)
        return bool(too_large)

    def _room(self, session: Session, queue: OutgoingQueue) -> tuple[int, int]:
        """How many messages and bytes may be given to the packeter now.

        An empty window lets one message in, however large it is.
        """
        max_bytes = SEND_AHEAD - self._packeter.get_unsent_size(session.conn_id)
        features = session.features
        if features is None or not session.acks:
            return max_bytes, max_bytes  # a message has one byte at least, with its headers
        if not queue.in_flight:
            return max(1, features.window_messages), min(max_bytes, max(1, features.window_bytes))
        return (
            features.window_messages - len(queue.in_flight),
            min(max_bytes, features.window_bytes - queue.in_flight_bytes),
        )

    def _withdraw_too_large(
        self, session: Session, queue: OutgoingQueue, entries: list[QueuedMessage]
    ) -> list[QueuedMessage]:
        """Take out the messages that the peer would disconnect us for."""
        if session.features is None:
            return []
        largest = session.features.max_packet_size - frames.MESSAGE_HEADER_SIZE
        too_large = [entry for entry in entries if len(entry.message.data) > largest]
        if too_large:
            queue.withdraw(too_large)
            entries[:] = [entry for entry in entries if len(entry.message.data) <= largest]
        return too_large

    def packets_sent(self, session: Session, packet_id: int) -> None:
        """The system has taken over all packets of this connection up to that one."""
        queue = session.queue
        if queue is None:
            return
        count = session.count_sent(packet_id)
        if count:
            if session.acks:
                begin = session.sent
                session.sent += count
                sent = self._in_flight_for(self.on_message_sent, queue, begin, session.sent)
            else:
                sent = queue.landed(count)
                for entry in sent:
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
        early: list[QueuedMessage] = []
        if count > session.sent:
            # The ack is here before the link has reported the send.
            early = self._in_flight_for(self.on_message_sent, queue, session.sent, count)
            session.skip_sent(count - session.sent)
            session.sent = count
        session.sent -= count
        delivered = queue.landed(count)
        for entry in delivered:
            self._queues.retire(queue, entry)
        self._tell(self.on_message_sent, session, queue, early)
        if session.features is not None:
            self._queues.keep_up(queue, session.features.window_messages)
        self._tell(self.on_message_delivered, session, queue, delivered)
        self.pump(session)

    @staticmethod
    def _in_flight_for(
        callback: Callback[[str, str, bytes]], queue: OutgoingQueue, begin: int, end: int
    ) -> list[QueuedMessage]:
        """The messages in flight with those numbers, if anybody wants to be told of them."""
        return list(islice(queue.in_flight, begin, end)) if callback.callbacks else []

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


def _too_large(ident: str, session: Session, message: Message) -> SnakeMQMessageTooLarge:
    assert session.features is not None
    return SnakeMQMessageTooLarge(
        f"{ident!r} takes packets of up to {session.features.max_packet_size} bytes, this message"
        f" needs {frames.MESSAGE_HEADER_SIZE + len(message.data)}"
    )
