"""The loop over a batch of message frames: the hot path of receiving."""

from __future__ import annotations

import threading

from snakemq.callbacks import Callback
from snakemq.exceptions import SnakeMQBrokenMessage, SnakeMQFlood
from snakemq.message import Message
from snakemq.message._headers import NO_HEADERS
from snakemq.message._stack import received as received_message
from snakemq.message._stack import size_of
from snakemq.packeter import Packet

from .._events import Events
from .._wire import _frames as frames
from .._wire._conversation import Conversation
from .._wire._headers import decode_headers
from .._wire._phases import CLOSED
from ._deliveries import Deliveries
from ._early import EarlyMessages
from ._gate import NOT_ALLOWED, Denied
from ._inbox import Inbox
from ._inboxes import Inboxes
from ._lane import IncomingLane
from ._offers import Offers
from ._settings import ReceiverSettings, beyond_the_window
from ._transactions import NotKept

WINDOWS_OF_OLD_PEERS = 16
"""What a peer that knows no window may leave unprocessed, in windows."""

NO_WINDOW = (float("inf"), float("inf"))

_HEADER_SIZE = frames.MESSAGE_HEADER_SIZE
_unpack_header = frames.unpack_message_header


class Batches:
    """Offers the messages of a batch to the application. For the loop only."""

    def __init__(
        self,
        inboxes: Inboxes,
        deliveries: Deliveries,
        offers: Offers,
        early: EarlyMessages,
        settings: ReceiverSettings,
        events: Events,
    ) -> None:
        self._inboxes = inboxes
        self._transactions = inboxes.transactions
        self._deliveries = deliveries
        self._offers = offers
        self._early = early
        self._settings = settings
        self._manual_ack = settings.manual_ack
        self._events = events

    def receive(self, inbox: Inbox, packets: list[Packet], begin: int) -> int:
        """Offer the messages of a batch to the application, unless they are known already.

        Begins with packet number ``begin`` and ends at the first that is not a message, or with the
        connection. Returns the number of the packet behind the last one that was taken. Raises the
        error of a peer that breaks the rules.
        """
        # Looked up once for the batch, not for each message.
        lane = inbox.lane
        assert lane is not None
        conversation = lane.conversation
        if not inbox.is_recalled and conversation.acks:
            return self._early.hold(inbox, lane, packets, begin)
        conn_id, ident = conversation.conn_id, inbox.ident
        tally = lane.tally
        offers = self._offers
        event = offers.on_message_recv
        if self._settings.policy is not None:
            event = offers.gate.event_for(inbox)
        acks = conversation.acks
        records_here = self._inboxes.are_recorded
        if self._transactions is not None:
            event = self._transactions.around(
                event, inbox, may_come_again=acks, is_deferred=offers.is_deferred
            )
            records_here = False  # the event does that
        open_here, add_to_seen = inbox.open, inbox.seen.add
        window_messages, window_bytes = self._begin(conversation, lane, inbox)
        received = received_bytes = 0
        number = begin
        # A callback may close this connection, and so begin with the messages of another one.
        outer = offers.lane, offers.offered, offers.deferred
        offers.lane, offers.deferred = lane, None
        offers.thread = threading.get_ident()
        try:
            while number < len(packets) and conversation.phase is not CLOSED:
                packet = packets[number]
                if isinstance(packet, bytes):
                    frame, data = packet, packet[_HEADER_SIZE:]
                else:  # a large one, in two parts to save the copy
                    frame, data = packet
                if len(frame) < _HEADER_SIZE:
                    if frame[:1] not in frames.MESSAGE_BYTES:
                        break
                    raise _too_short(frame)
                frame_type, uuid, ttl, flags = _unpack_header(frame)
                size = len(data)  # with the headers, which count like data
                headers = NO_HEADERS
                if frame_type != frames.FRAME_TYPE_MESSAGE:
                    if frame_type != frames.FRAME_TYPE_MESSAGE_WITH_HEADERS:
                        break
                    headers, data = decode_headers(data)
                if received >= window_messages or received_bytes >= window_bytes:
                    raise beyond_the_window(self._settings)
                number += 1
                received += 1
                received_bytes += size
                may_come_again = acks and ttl != 0
                if may_come_again:
                    tally.urgent = True
                    # Added before it is processed, which saves a look-up, and taken out if it
                    # cannot be.
                    if uuid in open_here or not add_to_seen(uuid):
                        self._repeated(inbox, lane, uuid, size)
                        continue
                message = received_message(
                    data, None if ttl == frames.INFINITE_TTL else float(ttl), flags, uuid, headers
                )
                if acks and inbox.deliveries:  # now: once offered it has to be counted
                    self._check_open(conversation, inbox, uuid)
                if self._manual_ack:
                    self._offer_for_ack(lane, event, message)
                    continue
                offers.offered = message
                try:
                    if len(event.callbacks) == 1:  # the detour over the event takes 0.3 µs
                        event.callbacks[0](conn_id, ident, message)
                    else:
                        event(conn_id, ident, message)
                except Exception as exc:
                    self._raised(inbox, lane, message, exc, may_come_again)
                    continue
                except BaseException:  # Ctrl-C: the link closes the connection
                    self._interrupted(inbox, message, may_come_again)
                    raise
                if offers.deferred is not None:
                    offers.deferred = None
                    continue
                if may_come_again and records_here:
                    inbox.unrecorded.append(uuid)
                if tally.behind_gap:
                    tally.frame_processed(size)
                else:  # copy of frame_processed(), whose call would be 6 % of all this
                    tally.processed += 1
                    tally.unacked_bytes += size
            return number
        finally:
            offers.lane, offers.offered, offers.deferred = outer
            lane.counters.received += received
            lane.counters.received_bytes += received_bytes
            if self._transactions is not None:
                self._transactions.record(inbox)  # one commit for the batch
            if conversation.phase is CLOSED:  # by a callback, which has returned after that
                self._inboxes.record(inbox)
            elif inbox.deliveries:
                self._deliveries.backpressure.check(inbox)
                self._deliveries.stalls.check(inbox)

    def _begin(
        self, conversation: Conversation, lane: IncomingLane, inbox: Inbox
    ) -> tuple[float, float]:
        """Return how many messages, and bytes before the last of them, the batch may have."""
        if conversation.acks:
            settings = self._settings
            return lane.tally.window_left(settings.window_messages, settings.window_bytes)
        if inbox.deliveries:
            self._check_open(conversation, inbox, b"")
        return NO_WINDOW

    def _repeated(self, inbox: Inbox, lane: IncomingLane, uuid: bytes, size: int) -> None:
        """Count a message that came before as what has become of it: it waits to be processed, it
        was processed, or it was rejected."""
        lane.counters.duplicates += 1
        delivery = inbox.open.get(uuid)
        if delivery is not None:
            lane.tally.frame_open(delivery)
            return
        if inbox.seen.renew(uuid) and self._inboxes.are_recorded:
            inbox.to_record(uuid)
        rejection = inbox.rejected.get(uuid)
        if rejection is None:
            lane.tally.frame_processed(size)
        else:
            lane.tally.frame_rejected(size, rejection)

    def _raised(
        self,
        inbox: Inbox,
        lane: IncomingLane,
        message: Message,
        exc: Exception,
        may_come_again: bool,
    ) -> None:
        """Deal with what a callback has raised. If it blames the peer, that is raised again."""
        if isinstance(exc, Denied):
            self._denied(inbox, lane, message, may_come_again)
            return
        if isinstance(exc, NotKept):
            self._interrupted(inbox, message, may_come_again)
            self._offers.deferred = None
            return
        deliveries, offers = self._deliveries, self._offers
        fault = self._events.fault_of_peer(lane.conversation.conn_id, exc)
        delivery, offers.deferred = offers.deferred, None
        if fault is None:
            if delivery is None:
                delivery = deliveries.open(lane, message)
            offers.raised(lane.conversation.conn_id, delivery, exc)
            return
        if delivery is not None:
            deliveries.finish(delivery)
        elif may_come_again and self._inboxes.are_recorded:
            # It stays known: it will not be better when it comes again.
            inbox.unrecorded.append(message.uuid)
        raise fault from None

    def _denied(
        self, inbox: Inbox, lane: IncomingLane, message: Message, may_come_again: bool
    ) -> None:
        """Reject a message without opening a delivery: nobody is going to settle it."""
        if may_come_again:
            inbox.finished(message.uuid, NOT_ALLOWED)
            if self._inboxes.are_recorded:
                inbox.to_record(message.uuid)
        lane.tally.frame_rejected(size_of(message), NOT_ALLOWED)

    def _interrupted(self, inbox: Inbox, message: Message, may_come_again: bool) -> None:
        """Let a message come again: Ctrl-C has interrupted its callbacks, or an inbox has failed in
        whose transaction they have written."""
        deferred = self._offers.deferred
        if deferred is not None:
            self._deliveries.withdraw(deferred)
        elif may_come_again:
            inbox.seen.discard(message.uuid)

    def _offer_for_ack(
        self, lane: IncomingLane, event: Callback[[str, str, Message]], message: Message
    ) -> None:
        conn_id = lane.conversation.conn_id
        deliveries, offers = self._deliveries, self._offers
        if not offers.has_room():
            offers.hold(deliveries.open(lane, message, is_offered=False))
            return
        delivery = deliveries.open(lane, message)
        try:
            event(conn_id, delivery.ident, message)
        except Denied:
            deliveries.finish(delivery, NOT_ALLOWED)
            deliveries.after_gaps_closed(delivery.ident)
        except Exception as exc:
            fault = self._events.fault_of_peer(conn_id, exc)
            if fault is not None:
                deliveries.finish(delivery)
                raise fault from None
            offers.raised(conn_id, delivery, exc)
        except BaseException:  # Ctrl-C: the link closes the connection, and it will come again
            deliveries.withdraw(delivery)
            raise

    def _check_open(self, conversation: Conversation, inbox: Inbox, uuid: bytes) -> None:
        """Stop a peer that comes again and again, each time with a window of messages.

        It may have two windows open, because what it had sent before may have expired there, or
        died with it. It loses nothing that it keeps: it sends that again on the next connection. A
        1.6 peer knows no window and keeps nothing. It is paused in time, so it gets as far as this
        only if it comes again and again, each time with as much as can be read at once.
        """
        if self._is_too_much(conversation, inbox):
            self._offers.take_settled()  # what was acknowledged meanwhile is not open any more
        if self._is_too_much(conversation, inbox):
            inbox.seen.discard(uuid)
            raise SnakeMQFlood(
                f"{inbox.open_messages} messages with {inbox.open_bytes} bytes, of this connection"
                " and earlier ones, wait to be processed"
            )

    def _is_too_much(self, conversation: Conversation, inbox: Inbox) -> bool:
        settings = self._settings
        windows = 2 if conversation.acks else WINDOWS_OF_OLD_PEERS
        return (
            inbox.open_messages >= windows * settings.window_messages
            or inbox.open_bytes >= windows * settings.window_bytes
        )


def _too_short(frame: bytes) -> SnakeMQBrokenMessage:
    return SnakeMQBrokenMessage(
        f"a message frame of {len(frame)} bytes, its header has {_HEADER_SIZE}"
    )
