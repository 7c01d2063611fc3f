"""The incoming side: offers messages to the application, recognises repeated ones, acknowledges."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from typing import NamedTuple

from snakemq.callbacks import Callback
from snakemq.exceptions import (
    SnakeMQBrokenFormat,
    SnakeMQBrokenMessage,
    SnakeMQFlood,
    StorageError,
)
from snakemq.message import Message
from snakemq.packeter import Packeter
from snakemq.queues import InboxStorage

from . import _frames as frames
from ._events import Events
from ._inbox import Delivery, Inbox
from ._session import Session
from ._stats import Statistics

ACK_DELAY = 0.05
"""Seconds that an ack may wait when nobody does: a sender forgets messages with ttl 0 anyway, it
only needs to know that there is room in the window. So a call and its reply cost no acks."""

MAX_ABSENT_INBOXES = 1024
"""Absent peers whose last messages are remembered."""

MAX_ABSENT_UUIDS = 256 * 1024
"""How many messages of all these together are, which is about 30 MB. Idents cost nothing, so one
peer with many of them must not make this one hoard."""

WINDOWS_OF_OLD_PEERS = 16
"""What a peer that knows no window may leave unprocessed, in windows."""

RECORD_RETRY_DELAY = 1.0
"""Seconds until a failed inbox storage is tried again."""


_HEADER_SIZE = frames.MESSAGE_HEADER_SIZE
UNLIMITED = (float("inf"), float("inf"))


class ReceiverSettings(NamedTuple):
    window_messages: int
    window_bytes: int
    manual_ack: bool
    max_attempts: int
    retry_delay: float


class Receiver:
    """Takes message frames of identified peers. For the loop only, but for :meth:`ack`."""

    def __init__(
        self,
        packeter: Packeter,
        storage: InboxStorage | None,
        settings: ReceiverSettings,
        statistics: Statistics,
        events: Events,
    ) -> None:
        self.on_message_recv: Callback[[str, str, Message]] = Callback()
        self.on_message_reject: Callback[[str, str, Message]] = Callback()
        self._packeter = packeter
        self._link = packeter.link
        self._storage = storage
        self._settings = settings
        self._manual_ack = settings.manual_ack
        self._statistics = statistics
        self._events = events
        self._log = logging.getLogger("snakemq.messaging")
        self._connected: dict[str, Session] = {}
        self._inboxes: dict[str, Inbox] = {}
        # Those that may be forgotten, the longest absent first, with the number of their uuids.
        self._absent: OrderedDict[str, int] = OrderedDict()
        self._absent_uuids = 0
        self._open: dict[Message, Delivery] = {}
        self._acks_from_threads: deque[Delivery] = deque()

    # -- from any thread

    def ack(self, message: Message) -> None:
        """See :meth:`Messaging.ack`. Thread-safe."""
        delivery = self._open.pop(message, None)  # taken out: there is one ack for a message
        if delivery is None:
            raise ValueError(f"{message!r} does not wait for an ack")
        self._acks_from_threads.append(delivery)
        self._link.wakeup_poll()

    # -- in the loop

    def on_loop_pass(self) -> None:
        acks = self._acks_from_threads
        if acks:
            changed: dict[str, None] = {}  # in their order: a simulation must be repeatable
            while acks:
                delivery = acks.popleft()
                self._finish(delivery)
                changed[delivery.ident] = None
            for ident in changed:
                self._after_gaps_closed(ident)

    def connected(self, session: Session, ident: str) -> None:
        session.inbox = self._inbox(ident)
        self._connected[ident] = session

    def disconnected(self, ident: str) -> None:
        del self._connected[ident]
        inbox = self._inboxes[ident]
        self._record(ident, inbox)
        if not inbox.open_messages:
            self._let_go(ident, inbox)

    def _let_go(self, ident: str, inbox: Inbox) -> None:
        """A peer is absent and nothing of it is open: its inbox may be forgotten, the longest
        absent first."""
        self._absent[ident] = len(inbox.seen)
        self._absent_uuids += len(inbox.seen)
        while len(self._absent) > MAX_ABSENT_INBOXES or self._absent_uuids > MAX_ABSENT_UUIDS:
            forgotten, uuids = self._absent.popitem(last=False)
            self._absent_uuids -= uuids
            del self._inboxes[forgotten]

    def _inbox(self, ident: str) -> Inbox:
        self._absent_uuids -= self._absent.pop(ident, 0)
        inbox = self._inboxes.get(ident)
        if inbox is None:
            # Two windows: what its sender has in flight, and what was acked but is not deleted
            # from the sender's storage yet.
            capacity = 2 * self._settings.window_messages
            inbox = self._inboxes[ident] = Inbox(capacity)
            if self._storage is not None:
                try:
                    self._recall(ident, inbox)
                except StorageError as exc:
                    self._events.storage_failed(exc)
        return inbox

    def _recall(self, ident: str, inbox: Inbox) -> None:
        """Read what was processed before this process. Raises ``StorageError``: then no message
        can be taken, because it may be a repetition."""
        assert self._storage is not None
        inbox.is_recalled = False
        try:
            inbox.seen.update(self._storage.recall(ident, 2 * self._settings.window_messages))
        except StorageError:
            raise
        except Exception as exc:  # it breaks its contract
            raise StorageError(f"the inbox storage: {exc}") from exc
        inbox.is_recalled = True

    def receive(self, session: Session, ident: str, packets: list[bytes], begin: int) -> int:
        """Offer the messages of a batch to the application, unless they are known already.

        From packet number ``begin`` on, up to the first that is no message, whose number is
        returned, or to the end of the connection. Raises what the peer did wrong.

        This is the hot path of receiving: what can be said of the batch is not asked again for
        each message.
        """
        conn_id = session.conn_id
        settings = self._settings
        receipts = session.receipts
        unpack = frames.unpack_message_header
        make_message = Message.received
        event = self.on_message_recv
        acks = session.acks
        inbox = session.inbox
        assert inbox is not None
        window = UNLIMITED
        if acks:
            window = receipts.window_left(settings.window_messages, settings.window_bytes)
            if not inbox.is_recalled:
                self._recall(ident, inbox)
        received = received_bytes = 0
        number = begin
        try:
            while number < len(packets) and not session.closed:
                frame = packets[number]
                if len(frame) < _HEADER_SIZE:
                    if frame[:1] != frames.MESSAGE_BYTE:
                        break
                    raise SnakeMQBrokenMessage(
                        f"a message frame of {len(frame)} bytes, its header has {_HEADER_SIZE}"
                    )
                frame_type, uuid, ttl, flags = unpack(frame)
                if frame_type != frames.FRAME_TYPE_MESSAGE:
                    break
                if received >= window[0] or received_bytes >= window[1]:
                    raise SnakeMQFlood(
                        f"more than the window of {settings.window_messages} messages or "
                        f"{settings.window_bytes} bytes without waiting for an ack"
                    )
                number += 1
                data = frame[_HEADER_SIZE:]
                size = len(data)
                received += 1
                received_bytes += size
                may_come_again = acks and ttl != 0
                if may_come_again:
                    receipts.urgent = True
                    if uuid in inbox.open:
                        session.counters.duplicates += 1
                        receipts.frame_open(inbox.open[uuid])
                        continue
                    # Added before it is processed, which saves a look-up, and taken out if it
                    # cannot be.
                    if not inbox.seen.add(uuid):
                        session.counters.duplicates += 1
                        if self._storage is not None:
                            inbox.unrecorded.append(uuid)  # as the latest, see RecentUuids
                        receipts.frame_processed(size)
                        continue
                message = make_message(
                    data, None if ttl == frames.INFINITE_TTL else float(ttl), flags, uuid
                )
                if inbox.open_messages:  # now, because once offered it has to be counted
                    self._check_open(session, inbox, uuid)
                if self._manual_ack:
                    inbox.seen.discard(uuid)
                    self._offer_for_ack(session, ident, message)
                    continue
                try:
                    if len(event.callbacks) == 1:  # saves 0.4 of 3.4 µs for a message
                        event.callbacks[0](conn_id, ident, message)
                    else:
                        event(conn_id, ident, message)
                except Exception as exc:
                    fault = self._fault_of_peer(conn_id, exc)
                    if fault is not None:
                        # It stays known: it will not be better when it comes again.
                        if may_come_again and self._storage is not None:
                            inbox.unrecorded.append(uuid)
                        raise fault from None
                    inbox.seen.discard(uuid)
                    delivery = self._open_delivery(session, ident, message)
                    self._offer_failed(conn_id, delivery, exc)
                    continue
                except BaseException:  # Ctrl-C: the link closes the connection
                    inbox.seen.discard(uuid)
                    raise
                if may_come_again and self._storage is not None:
                    inbox.unrecorded.append(uuid)
                receipts.frame_processed(size)
            return number
        finally:
            session.counters.received += received
            session.counters.received_bytes += received_bytes
            if session.closed:
                self._record(ident, inbox)  # a callback has closed it, and returned after that

    def _offer_for_ack(self, session: Session, ident: str, message: Message) -> None:
        delivery = self._open_delivery(session, ident, message)
        try:
            self.on_message_recv(session.conn_id, ident, message)
        except Exception as exc:
            fault = self._fault_of_peer(session.conn_id, exc)
            if fault is not None:
                self._finish(delivery)
                raise fault from None
            self._offer_failed(session.conn_id, delivery, exc)
        except BaseException:  # Ctrl-C: the link closes the connection, and it will come again
            self._withdraw(delivery)
            raise

    def _check_open(self, session: Session, inbox: Inbox, uuid: bytes) -> None:
        """The window is one of a connection; here a peer is stopped that comes again and again.

        Two windows, because what it had sent before may have expired there, or died with it. It
        loses nothing that it keeps: it sends that again on the next connection. A 1.6 peer knows
        no window and keeps nothing, so it may go much further, but not without end.
        """
        settings = self._settings
        windows = 2 if session.acks else WINDOWS_OF_OLD_PEERS
        if (
            inbox.open_messages >= windows * settings.window_messages
            or inbox.open_bytes >= windows * settings.window_bytes
        ):
            inbox.seen.discard(uuid)
            raise SnakeMQFlood(
                f"{inbox.open_messages} messages with {inbox.open_bytes} bytes, of this connection"
                " and earlier ones, wait to be processed"
            )

    def _open_delivery(self, session: Session, ident: str, message: Message) -> Delivery:
        delivery = Delivery(ident, message)
        self._open[message] = delivery
        session.receipts.frame_open(delivery)
        inbox = session.inbox
        assert inbox is not None
        inbox.open_messages += 1
        inbox.open_bytes += delivery.size
        if session.acks and message.ttl != 0:
            inbox.open[message.uuid] = delivery
        return delivery

    def _offer_failed(self, conn_id: str, delivery: Delivery, exc: Exception) -> None:
        delivery.attempts += 1
        self._events.callback_raised(conn_id, exc)
        if delivery.message not in self._open:
            return  # one callback has acknowledged it before another one raised
        if delivery.attempts < self._settings.max_attempts:
            self._link.call_later(self._settings.retry_delay, lambda: self._offer_again(delivery))
            return
        self._log.error("ident=%s rejected %s", delivery.ident, delivery.message)
        self._statistics.of(delivery.ident).rejected += 1
        self._events.emit(
            conn_id, self.on_message_reject, conn_id, delivery.ident, delivery.message
        )
        self._finish(delivery)
        self._after_gaps_closed(delivery.ident)

    def _offer_again(self, delivery: Delivery) -> None:
        if delivery.message not in self._open:
            return
        session = self._connected.get(delivery.ident)
        conn_id = session.conn_id if session is not None else ""
        try:
            self.on_message_recv(conn_id, delivery.ident, delivery.message)
        except Exception as exc:
            fault = self._fault_of_peer(conn_id, exc)
            if fault is None:
                self._offer_failed(conn_id, delivery, exc)
            else:
                self._proved_broken(delivery, session, fault)
            return
        except BaseException:  # Ctrl-C
            self._link.call_later(self._settings.retry_delay, lambda: self._offer_again(delivery))
            raise
        if not self._manual_ack:
            self._finish(delivery)
            self._after_gaps_closed(delivery.ident)

    def _proved_broken(
        self, delivery: Delivery, session: Session | None, fault: SnakeMQBrokenFormat
    ) -> None:
        """As when it is offered for the first time, but the connection may be another one."""
        self._finish(delivery)
        self._after_gaps_closed(delivery.ident)
        conn_id = session.conn_id if session is not None else ""
        self._log.error("conn=%s ident=%r %s", conn_id, delivery.ident, fault)
        self._events.report(conn_id, fault)
        if session is not None and not session.closed:
            self._link.close(conn_id)

    def _fault_of_peer(self, conn_id: str, exc: Exception) -> SnakeMQBrokenFormat | None:
        """What a callback said that is wrong with the message; others may have raised as well."""
        if isinstance(exc, SnakeMQBrokenFormat):
            return exc
        if not isinstance(exc, ExceptionGroup):
            return None
        faults, rest = exc.split(SnakeMQBrokenFormat)
        if faults is None:
            return None
        if rest is not None:
            self._events.callback_raised(conn_id, rest)
        fault: SnakeMQBrokenFormat | ExceptionGroup[SnakeMQBrokenFormat] = faults
        while isinstance(fault, ExceptionGroup):
            fault = fault.exceptions[0]
        return fault

    def _finish(self, delivery: Delivery) -> None:
        """A delivery is processed."""
        if delivery.done:
            return
        uuid = delivery.message.uuid
        inbox = self._inboxes[delivery.ident]
        if uuid in inbox.open:
            inbox.seen.add(uuid)
            if self._storage is not None:
                inbox.unrecorded.append(uuid)
        self._withdraw(delivery)

    def _withdraw(self, delivery: Delivery) -> None:
        """A delivery is not open any more."""
        delivery.done = True
        self._open.pop(delivery.message, None)
        inbox = self._inboxes[delivery.ident]  # kept for as long as anything is open
        inbox.open.pop(delivery.message.uuid, None)
        inbox.open_messages -= 1
        inbox.open_bytes -= delivery.size
        if not inbox.open_messages and delivery.ident not in self._connected:
            self._record(delivery.ident, inbox)
            self._let_go(delivery.ident, inbox)

    def _after_gaps_closed(self, ident: str) -> None:
        session = self._connected.get(ident)
        if session is not None:
            session.receipts.close_gaps()
            self.ack_if_due(session)
        elif ident in self._inboxes:  # a callback may have made room for others
            self._record(ident, self._inboxes[ident])

    # -- acks on the wire

    def ack_if_due(self, session: Session) -> None:
        """To be called when a batch of frames is handled, and when packets were sent."""
        if not session.acks:
            return
        receipts = session.receipts
        unacked = receipts.processed - receipts.acked
        if not unacked:
            # Behind a gap: it cannot be acked yet, but must not be forgotten either.
            if session.ident is not None and session.inbox is not None:
                self._record(session.ident, session.inbox)
            return
        settings = self._settings
        if (
            receipts.urgent
            or unacked * 4 >= settings.window_messages
            or receipts.unacked_bytes * 4 >= settings.window_bytes
        ):
            self._ack(session)
        elif session.ack_timer is None:
            session.ack_timer = self._link.call_later(ACK_DELAY, lambda: self._ack(session))

    def _ack(self, session: Session) -> None:
        if session.ack_timer is not None:
            session.ack_timer.cancel()
            session.ack_timer = None
        if session.closed:
            return
        assert session.ident is not None
        if session.inbox is not None and not self._record(session.ident, session.inbox):
            session.ack_timer = self._link.call_later(
                RECORD_RETRY_DELAY, lambda: self._ack(session)
            )
            return
        # A peer that does not read must not make the send buffer grow. When the last ack is sent,
        # the next one is due.
        if session.ack_packet_id > session.sent_packet_id:
            return
        receipts = session.receipts
        if receipts.processed > receipts.acked:
            receipts.ack_sent()
            session.ack_packet_id = self._packeter.send_packet(
                session.conn_id, frames.encode_ack(receipts.processed)
            )

    def _record(self, ident: str, inbox: Inbox) -> bool:
        """Make durable what was processed; True if it is."""
        if self._storage is None or not inbox.unrecorded:
            return True
        keep = 2 * self._settings.window_messages
        try:
            self._storage.remember(ident, inbox.unrecorded, keep)
        except Exception as exc:  # StorageError, if it keeps its contract
            del inbox.unrecorded[:-keep]  # nor would it keep more; a peer may come many times
            self._events.storage_failed(exc)
            return False
        inbox.unrecorded.clear()
        return True
