"""The incoming side: offers messages to the application, and recognises repeated ones."""

import logging
from collections import deque
from typing import NamedTuple

from snakemq.callbacks import Callback
from snakemq.exceptions import SnakeMQBrokenFormat, SnakeMQBrokenMessage, SnakeMQFlood
from snakemq.message import Message
from snakemq.packeter import Packet, Packeter
from snakemq.queues import InboxStorage

from . import _frames as frames
from ._acks import Acks
from ._events import Events
from ._inbox import Delivery, Inbox
from ._inboxes import Inboxes
from ._session import Session
from ._stats import Statistics

WINDOWS_OF_OLD_PEERS = 16
"""What a peer that knows no window may leave unprocessed, in windows."""

_HEADER_SIZE = frames.MESSAGE_HEADER_SIZE
_unpack_header = frames.unpack_message_header
_received = Message.received
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
        self.inboxes = Inboxes(storage, settings.window_messages, events)
        self.acks = Acks(packeter, self.inboxes, settings.window_messages, settings.window_bytes)
        self._link = packeter.link
        self._settings = settings
        self._manual_ack = settings.manual_ack
        self._statistics = statistics
        self._events = events
        self._log = logging.getLogger("snakemq.messaging")
        self._connected: dict[str, Session] = {}
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
        session.inbox = self.inboxes.open(ident)
        self._connected[ident] = session

    def disconnected(self, ident: str) -> None:
        del self._connected[ident]
        inbox = self.inboxes.by_ident[ident]
        self.inboxes.record(ident, inbox)
        if not inbox.open_messages:
            self.inboxes.let_go(ident)

    def receive(self, session: Session, ident: str, packets: list[Packet], begin: int) -> int:
        """Offer the messages of a batch to the application, unless they are known already.

        From packet number ``begin`` on, up to the first that is no message, whose number is
        returned, or to the end of the connection. Raises what the peer did wrong.

        This is the hot path of receiving: what can be said of the batch is not asked again for
        each message.
        """
        conn_id = session.conn_id
        settings = self._settings
        receipts = session.receipts
        event = self.on_message_recv
        are_recorded = self.inboxes.are_recorded
        acks = session.acks
        inbox = session.inbox
        assert inbox is not None
        open_here, add_to_seen = inbox.open, inbox.seen.add
        window_messages, window_bytes = UNLIMITED
        if acks:
            window_messages, window_bytes = receipts.window_left(
                settings.window_messages, settings.window_bytes
            )
            if not inbox.is_recalled:
                self.inboxes.recall(ident, inbox)
        received = received_bytes = 0
        number = begin
        try:
            while number < len(packets) and not session.closed:
                packet = packets[number]
                if isinstance(packet, bytes):
                    frame, data = packet, packet[_HEADER_SIZE:]
                else:  # a large one, in two parts to save the copy
                    frame, data = packet
                if len(frame) < _HEADER_SIZE:
                    if frame[:1] != frames.MESSAGE_BYTE:
                        break
                    raise SnakeMQBrokenMessage(
                        f"a message frame of {len(frame)} bytes, its header has {_HEADER_SIZE}"
                    )
                frame_type, uuid, ttl, flags = _unpack_header(frame)
                if frame_type != frames.FRAME_TYPE_MESSAGE:
                    break
                if received >= window_messages or received_bytes >= window_bytes:
                    raise SnakeMQFlood(
                        f"more than the window of {settings.window_messages} messages or "
                        f"{settings.window_bytes} bytes without waiting for an ack"
                    )
                number += 1
                size = len(data)
                received += 1
                received_bytes += size
                may_come_again = acks and ttl != 0
                if may_come_again:
                    receipts.urgent = True
                    if uuid in open_here:
                        session.counters.duplicates += 1
                        receipts.frame_open(open_here[uuid])
                        continue
                    # Added before it is processed, which saves a look-up, and taken out if it
                    # cannot be.
                    if not add_to_seen(uuid):
                        session.counters.duplicates += 1
                        if are_recorded:
                            inbox.unrecorded.append(uuid)  # as the latest, see RecentUuids
                        receipts.frame_processed(size)
                        continue
                message = _received(
                    data, None if ttl == frames.INFINITE_TTL else float(ttl), flags, uuid
                )
                if inbox.open_messages:  # now, because once offered it has to be counted
                    self.on_loop_pass()  # what was acknowledged meanwhile is not open any more
                    self._check_open(session, inbox, uuid)
                if self._manual_ack:
                    inbox.seen.discard(uuid)
                    self._offer_for_ack(session, ident, message)
                    continue
                try:
                    if len(event.callbacks) == 1:  # the detour over the event takes 0.3 µs
                        event.callbacks[0](conn_id, ident, message)
                    else:
                        event(conn_id, ident, message)
                except Exception as exc:
                    fault = self._events.fault_of_peer(conn_id, exc)
                    if fault is not None:
                        # It stays known: it will not be better when it comes again.
                        if may_come_again and are_recorded:
                            inbox.unrecorded.append(uuid)
                        raise fault from None
                    inbox.seen.discard(uuid)
                    delivery = self._open_delivery(session, ident, message)
                    self._offer_failed(conn_id, delivery, exc)
                    continue
                except BaseException:  # Ctrl-C: the link closes the connection
                    inbox.seen.discard(uuid)
                    raise
                if may_come_again and are_recorded:
                    inbox.unrecorded.append(uuid)
                if receipts.behind_gap:
                    receipts.frame_processed(size)
                else:  # as it does then; a call for each message is 6 % of all this
                    receipts.processed += 1
                    receipts.unacked_bytes += size
            return number
        finally:
            session.counters.received += received
            session.counters.received_bytes += received_bytes
            if session.closed:  # by a callback, which has returned after that
                self.inboxes.record(ident, inbox)

    def _offer_for_ack(self, session: Session, ident: str, message: Message) -> None:
        delivery = self._open_delivery(session, ident, message)
        try:
            self.on_message_recv(session.conn_id, ident, message)
        except Exception as exc:
            fault = self._events.fault_of_peer(session.conn_id, exc)
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
            fault = self._events.fault_of_peer(conn_id, exc)
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

    def _finish(self, delivery: Delivery) -> None:
        """A delivery is processed."""
        if delivery.done:
            return
        uuid = delivery.message.uuid
        inbox = self.inboxes.by_ident[delivery.ident]
        if uuid in inbox.open:
            inbox.seen.add(uuid)
            if self.inboxes.are_recorded:
                inbox.unrecorded.append(uuid)
        self._withdraw(delivery)

    def _withdraw(self, delivery: Delivery) -> None:
        """A delivery is not open any more."""
        delivery.done = True
        self._open.pop(delivery.message, None)
        inbox = self.inboxes.by_ident[delivery.ident]  # kept for as long as anything is open
        inbox.open.pop(delivery.message.uuid, None)
        inbox.open_messages -= 1
        inbox.open_bytes -= delivery.size
        if not inbox.open_messages and delivery.ident not in self._connected:
            self.inboxes.record(delivery.ident, inbox)
            self.inboxes.let_go(delivery.ident)

    def _after_gaps_closed(self, ident: str) -> None:
        session = self._connected.get(ident)
        if session is not None:
            session.receipts.close_gaps()
            self.acks.send_if_due(session)
        elif ident in self.inboxes.by_ident:  # a callback may have made room for others
            self.inboxes.record(ident, self.inboxes.by_ident[ident])
