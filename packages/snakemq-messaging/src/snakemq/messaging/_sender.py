"""The outgoing side: from the outbox through the queues to the packeter."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from snakemq.callbacks import Callback
from snakemq.exceptions import SnakeMQBrokenMessage, SnakeMQMessageTooLarge
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.packeter import Packeter
from snakemq.queues import OutgoingQueue, QueuesStorageBase

from . import _frames as frames
from ._events import Events
from ._limits import Occupancy
from ._queues import UNKNOWN, OutgoingQueues
from ._session import Session
from ._stats import DropReason, Statistics

MAX_SINGLE = 16 * 1024
"""Bytes of data of a message that may be sent on the short way: its header is copied together with
it."""

MAX_CHAIN = 16
"""Messages that are sent to one peer before the others have their turn, if each of them is sent
because the one before it was."""

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
        self._time = packeter.link.time
        self._events = events
        self._connected: dict[str, Session] = {}
        self._storage = storage
        self._occupancy = occupancy
        self._queues = OutgoingQueues(
            self._link,
            storage,
            occupancy,
            statistics,
            self._dropped,
            events.storage_failed,
            self._resume,
        )
        self._is_plain = storage is None and occupancy is None
        # Link can be borrowed, other links need not.
        self._borrow: Callable[[], bool] = getattr(packeter.link, "borrow", lambda: False)
        self._give_back: Callable[[], None] = getattr(packeter.link, "give_back", lambda: None)
        self.queue_of = self._queues.known
        # What accept() leaves for the loop: appending to and popping from a deque is atomic.
        self._announced: deque[OutgoingQueue] = deque()
        self._absent: deque[tuple[str, Message]] = deque()
        """Messages with ttl 0 for peers that were not connected."""

    # -- from any thread

    def accept(self, ident: str, message: Message, queue: OutgoingQueue | None) -> None:
        """As :meth:`accept_many`, for one message. ``queue``: of that peer, if there is one."""
        if not self._is_plain:
            self.accept_many(ident, [message])
            return
        message._queued_at = self._time()
        message._position = None
        if queue is None or (message.ttl == 0 and not queue.is_connected):
            self._put(ident, message)
            return
        # As in _put(), whose call would be a tenth of the time.
        queue.incoming.append(message)
        if queue.is_forgotten:
            queue = self._queues.keep(queue, message)
        if not queue.is_announced:
            self._announce(queue)

    def accept_urgent(self, ident: str, message: Message, queue: OutgoingQueue | None) -> None:
        """As :meth:`accept`, for who is about to wait for an answer.

        If the loop sleeps, or calls this, and nothing else waits to be sent to that peer, the
        message is sent by the calling thread: nobody has to wake up for it. That is one system call
        for each message, where the loop sends many at once; so it is not for who has more to send.
        """
        if queue is not None and queue.is_connected and self._is_plain:
            try:
                if self._borrow() and self._sends_now(ident, message, queue):
                    return
            finally:
                # Whatever borrow() has said, as Ctrl-C can come before that is known. And not in a
                # context manager, in which it could come before this is called.
                try:  # noqa: SIM105
                    self._give_back()
                except RuntimeError:
                    pass  # it was not borrowed
        self.accept(ident, message, queue)

    def _sends_now(self, ident: str, message: Message, queue: OutgoingQueue) -> bool:
        """While this thread is the loop, or has borrowed it. True if the message is on its way."""
        session = self._connected.get(ident)
        if (
            session is None
            or session.has_more_to_handle  # there may be more to answer
            or queue.incoming
            or self.on_message_sent.callbacks  # which are called by the loop, not from in here
        ):
            return False
        message._queued_at = now = self._time()
        message._position = None
        try:
            if not self._send_single(session, queue, message, now):
                return False
        except BaseException:
            self._give_up(session)
            raise
        if session.unsent:
            self._link.wakeup_poll()  # a poller may not notice that it has to look for more
        return True

    def accept_many(self, ident: str, messages: Sequence[Message]) -> None:
        """Store messages, those that are persistent, and queue them. Thread-safe.

        Raises :exc:`~snakemq.exceptions.QueueFull` and :exc:`~snakemq.exceptions.StorageError`;
        then nothing has happened.
        """
        occupancy = self._occupancy
        if not messages:
            return
        size = sum(len(message.data) for message in messages)
        if occupancy is not None:
            occupancy.enter(ident, len(messages), size)
        now = self._time()
        for message in messages:
            message._queued_at = now
            message._position = None
        if self._storage is not None:
            try:
                self._store(self._storage, ident, messages)
            except BaseException:
                if occupancy is not None:
                    occupancy.correct(ident, -len(messages), -size)
                raise
        for message in messages:
            self._put(ident, message)

    def _put(self, ident: str, message: Message) -> None:
        if message.ttl == 0 and ident not in self._connected:
            self._absent.append((ident, message))
            self._link.wakeup_poll()
            return
        queue = self._queues.get(ident)
        if message._position is not None:
            queue.has_stored = True
        queue.incoming.append(message)
        if queue.is_forgotten:
            queue = self._queues.keep(queue, message)
        if not queue.is_announced:
            self._announce(queue)

    def _announce(self, queue: OutgoingQueue) -> None:
        # The loop takes this back before it looks at the queue. So it is told once for all messages
        # that come until then.
        queue.is_announced = True
        self._announced.append(queue)
        self._link.wakeup_poll()

    def limits_changed(self, ident: str) -> None:
        """There may be more for a peer than is allowed now. Thread-safe."""
        queue = self._queues.get(ident)
        queue.is_announced = True
        self._announced.append(queue)
        self._link.wakeup_poll()

    def _store(self, storage: QueuesStorageBase, ident: str, messages: Sequence[Message]) -> None:
        durable = [m for m in messages if m.flags & FLAG_PERSISTENT and m.ttl != 0]
        for message in durable:
            if message._sent_to is None:
                self._queues.finish_deletion(ident, message.uuid)
        if len(durable) == 1:
            position = storage.push(ident, durable[0])
            durable[0]._position = UNKNOWN if position is None else position
        if len(durable) <= 1:
            return
        positions = storage.push_many(ident, durable)
        for message, position in zip(durable, positions or [UNKNOWN] * len(durable), strict=True):
            message._position = position

    # -- in the loop

    def on_loop_pass(self) -> None:
        if self._storage is not None:
            self._queues.flush_deletions_if_many()
        if self._announced or self._absent:
            try:
                self._serve_announced()
            except BaseException:
                self._link.wakeup_poll()
                raise

    def _serve_announced(self) -> None:
        """Send what has come into the queues, or plan its end."""
        for _ in range(len(self._absent)):  # no more, or a busy thread could keep the loop here
            ident, message = self._absent.popleft()
            self._queues.drop(self._queues.get(ident), [message], DropReason.ABSENT)
            self._queues.forget_if_empty(self._queues.get(ident))
        for _ in range(len(self._announced)):
            queue = self._announced[0]
            queue.is_announced = False
            self._serve(queue)
            self._announced.popleft()
        if self._announced or self._absent:
            self._link.wakeup_poll()

    def _serve(self, queue: OutgoingQueue) -> None:
        session = self._connected.get(queue.ident)
        if session is not None:
            if not self._serve_singles(session, queue):
                self.pump(session)
                self._queues.trim(queue)
            return
        self._queues.absorb(queue)
        self._queues.trim(queue)
        self._queues.watch(queue)
        self._queues.forget_if_empty(queue)

    def _serve_singles(self, session: Session, queue: OutgoingQueue) -> bool:
        """Send the one message that has come in, and the next one if that was the answer to its
        being sent, and so on. False if there is something that has to go the way of many."""
        incoming = queue.incoming
        if not self._is_plain or len(incoming) != 1:
            return False
        for _ in range(MAX_CHAIN):
            message = incoming.popleft()
            try:
                is_sent = self._send_single(session, queue, message, self._time())
            except BaseException:
                self._give_up(session)
                if message not in queue.in_flight:
                    incoming.appendleft(message)
                raise
            if not is_sent:
                incoming.appendleft(message)
                return False
            if session.unsent or not self.on_message_sent.callbacks:
                break
            self._tell(self.on_message_sent, session, queue, [message])
            if len(incoming) != 1 or session.closed:
                break
        return len(incoming) <= 1

    def connected(self, session: Session, ident: str) -> None:
        """From now on messages for ``ident`` go to this connection."""
        session.queue = self._queues.get(ident)
        session.queue.is_connected = True
        self._connected[ident] = session

    def disconnected(self, session: Session) -> list[Message]:
        """Messages wait again. Returns those that do not, to be given to :meth:`settle`."""
        queue = session.queue
        assert queue is not None
        del self._connected[queue.ident]
        self._queues.absorb(queue)
        return queue.disconnected(self._time())

    def settle(self, session: Session, dropped: list[Message]) -> None:
        """After the disconnection was told: report what was dropped with it, and tidy up."""
        queue = session.queue
        assert queue is not None
        self._queues.drop(queue, dropped, DropReason.DISCONNECTED)
        self._queues.watch(queue)
        self._queues.sweep(queue)
        self._queues.flush_deletions_unless_failing()
        self._queues.forget_if_empty(queue)

    def pump(self, session: Session) -> None:
        """Give waiting messages to the packeter, until enough is there."""
        while self._pump_batch(session):
            pass

    def _pump_batch(self, session: Session) -> bool:
        """True if it is to be called again: there may be more to send."""
        queue = session.queue
        if queue is None or session.closed or not queue.has_more():
            return False
        max_messages, max_bytes = self._room(session, queue)
        if queue.has_stored:
            self._queues.absorb(queue)
            if max_messages > 0 and max_bytes > 0:
                self._queues.fill(queue)
                if session.closed:
                    return False  # by a callback that was told that the storage fails
        now = self._time()
        resent = queue.resent
        expired: list[Message] = []
        messages = queue.take(now, max_messages, max_bytes, expired)
        too_large = self._withdraw_too_large(session, queue, messages)
        if messages:
            self._send(session, queue, messages, now)
            session.counters.resent += queue.resent - resent
        if queue.has_more():
            self._queues.watch(queue)
        # Callbacks come last, because one may close the connection.
        if expired:
            self._queues.drop(queue, expired, DropReason.EXPIRED)
        for message in too_large:
            self._events.report(session.conn_id, _too_large(queue.ident, session, message))
            self._queues.drop(queue, [message], DropReason.TOO_LARGE)
        return bool(messages or expired or too_large) and queue.has_more()

    def _send(
        self, session: Session, queue: OutgoingQueue, messages: list[Message], now: float
    ) -> None:
        # One struct for both headers, one call for all packets: a quarter of the cost of a call
        # of send_packet() for each message.
        pack = frames.pack_message_packet
        parts: list[bytes] = []
        sizes: list[int] = []
        data_size = 0
        for message in messages:
            data = message.data
            size = len(data)
            data_size += size
            size += frames.MESSAGE_HEADER_SIZE
            ttl = message.ttl
            seconds = (
                frames.INFINITE_TTL
                if ttl is None
                else _seconds_left(ttl, now - message._queued_at, session)
            )
            parts.append(
                pack(size, frames.FRAME_TYPE_MESSAGE, message.uuid, seconds, message.flags)
            )
            parts.append(data)
            sizes.append(size + frames.PACKET_SIZE_LENGTH)
        packeter = self._packeter
        first_id = packeter.send_framed(session.conn_id, parts, sizes)
        session.unsent.append((first_id, first_id + len(sizes) - 1))
        counters = session.counters
        counters.sent += len(sizes)
        counters.sent_bytes += data_size
        if session.acks and session.round_trip_probe is None:
            session.round_trip_probe = (session.acked + len(queue.in_flight), now)
        packeter.flush(session.conn_id)

    def _send_single(
        self, session: Session, queue: OutgoingQueue, message: Message, now: float
    ) -> bool:
        """Send one message, if nothing waits to be sent before it and it may be sent now.

        The short way of :meth:`_pump_batch` for the message that comes alone, as a call and its
        reply do: 3 us where that takes 9, with the report that the system has it.
        """
        data = message.data
        size = len(data)
        packet_size = frames.MESSAGE_HEADER_SIZE + size
        features = session.features
        in_flight = queue.in_flight
        ttl = message.ttl
        if (
            features is None
            or not session.acks
            or size > MAX_SINGLE
            or packet_size > features.max_packet_size
            or queue.is_waiting()
            or (
                in_flight
                and (
                    len(in_flight) >= features.window_messages
                    or queue.in_flight_bytes >= features.window_bytes
                )
            )
        ):
            return False
        if ttl is None:
            seconds = frames.INFINITE_TTL
        else:
            waited = now - message._queued_at
            if ttl and waited >= ttl:
                return False
            seconds = _seconds_left(ttl, waited, session)
        header = frames.pack_message_packet(
            packet_size, frames.FRAME_TYPE_MESSAGE, message.uuid, seconds, message.flags
        )
        # First in the books: Ctrl-C from here on costs the connection, and what is in flight then
        # is dropped or sent again, as it should be.
        in_flight.append(message)
        queue.in_flight_bytes += size
        try:
            sent = self._packeter.send_framed_at_once(session.conn_id, header + data)
        except Exception:  # the connection ends right now, for example
            sent = None  # whatever it is, the way of all messages leads there, too
        if sent is None:
            in_flight.pop()
            queue.in_flight_bytes -= size
            return False
        packet_id, is_taken_over = sent
        if is_taken_over:
            session.sent += 1
            session.sent_packet_id = packet_id
        else:
            session.unsent.append((packet_id, packet_id))
        counters = session.counters
        counters.sent += 1
        counters.sent_bytes += size
        if session.round_trip_probe is None:
            session.round_trip_probe = (session.acked + len(in_flight), now)
        return True

    def _give_up(self, session: Session) -> None:
        """After Ctrl-C in the middle of a send nobody knows how far it got, so it costs the
        connection. While this thread is the loop, or has borrowed it."""

        def close() -> None:
            if not session.closed:
                self._link.close(session.conn_id)

        self._link.call_later(0.0, close)

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
        self, session: Session, queue: OutgoingQueue, messages: list[Message]
    ) -> list[Message]:
        """Take out the messages that the peer would disconnect us for."""
        if session.features is None:
            return []
        largest = session.features.max_packet_size - frames.MESSAGE_HEADER_SIZE
        too_large = [message for message in messages if len(message.data) > largest]
        if too_large:
            queue.withdraw(too_large)
            messages[:] = [message for message in messages if len(message.data) <= largest]
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
                self._queues.retire(queue, sent)
            self._tell(self.on_message_sent, session, queue, sent)
        if not queue.is_announced:  # else it is served in this pass
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
        early: list[Message] = []
        if count > session.sent:
            # The ack is here before the link has reported the send.
            early = self._in_flight_for(self.on_message_sent, queue, session.sent, count)
            session.skip_sent(count - session.sent)
            session.sent = count
        session.sent -= count
        delivered = queue.landed(count)
        self._queues.retire(queue, delivered)
        self._tell(self.on_message_sent, session, queue, early)
        if session.features is not None:
            self._queues.keep_up(queue, session.features.window_messages)
        self._tell(self.on_message_delivered, session, queue, delivered)
        if not queue.is_announced:
            self.pump(session)

    @staticmethod
    def _in_flight_for(
        callback: Callback[[str, str, bytes]], queue: OutgoingQueue, begin: int, end: int
    ) -> list[Message]:
        """The messages in flight with those numbers, if anybody wants to be told of them."""
        return list(islice(queue.in_flight, begin, end)) if callback.callbacks else []

    def _tell(
        self,
        callback: Callback[[str, str, bytes]],
        session: Session,
        queue: OutgoingQueue,
        messages: list[Message],
    ) -> None:
        """Not before the books are closed: a callback may close the connection."""
        if callback.callbacks:
            conn_id = session.conn_id
            for message in messages:
                self._events.emit(conn_id, callback, conn_id, queue.ident, message.uuid)

    def queues(self) -> list[OutgoingQueue]:
        """All queues. Thread-safe."""
        return list(self._queues)

    def outbox_size(self) -> int:
        """Messages that the loop has not seen yet. Thread-safe."""
        unseen = sum(len(queue.incoming) for queue in self._queues if queue.is_announced)
        return unseen + len(self._absent)

    def close(self) -> None:
        """Bring the storage up to date. Raises :exc:`~snakemq.exceptions.StorageError`."""
        self._queues.flush_deletions()
        self._queues.store_ttls()

    def _dropped(self, ident: str, uuid: bytes) -> None:
        self._events.emit(None, self.on_message_drop, ident, uuid)

    def _resume(self, ident: str) -> None:
        self._serve(self._queues.get(ident))


def _seconds_left(ttl: float, waited: float, session: Session) -> int:
    """The ttl that goes over the wire, of a message that has not expired."""
    # Time waited counts in whole seconds as well, so that a message that did not wait arrives with
    # the ttl it was sent with.
    seconds = int(ttl - int(waited))
    if seconds > 0:
        return seconds
    # 0 says that it will not come again, so that nobody looks for it.
    return 1 if ttl and session.acks else 0


def _too_large(ident: str, session: Session, message: Message) -> SnakeMQMessageTooLarge:
    assert session.features is not None
    return SnakeMQMessageTooLarge(
        f"{ident!r} takes packets of up to {session.features.max_packet_size} bytes, this message"
        f" needs {frames.MESSAGE_HEADER_SIZE + len(message.data)}"
    )
