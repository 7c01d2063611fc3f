"""The incoming side: offers messages to the application, and recognises repeated ones."""

import threading
from collections.abc import Callable

from snakemq.exceptions import SnakeMQBrokenMessage, SnakeMQFlood
from snakemq.message import Message
from snakemq.packeter import Packet, Packeter
from snakemq.queues import InboxStorage

from .._events import Events
from .._stats import Statistics
from .._wire import _frames as frames
from .._wire._conversation import Conversation
from .._wire._phases import Phase
from ._acks import Acks
from ._deliveries import Deliveries, ReceiverSettings
from ._inbox import Inbox
from ._inboxes import Inboxes
from ._lane import IncomingLane

WINDOWS_OF_OLD_PEERS = 16
"""What a peer that knows no window may leave unprocessed, in windows."""

_HEADER_SIZE = frames.MESSAGE_HEADER_SIZE
_unpack_header = frames.unpack_message_header
_received = Message.received
UNLIMITED = (float("inf"), float("inf"))


class Receiver:
    """Takes message frames of identified peers. For the loop only."""

    def __init__(
        self,
        packeter: Packeter,
        storage: InboxStorage | None,
        settings: ReceiverSettings,
        statistics: Statistics,
        events: Events,
        owes_acks: Callable[[str], bool],
    ) -> None:
        """``owes_acks(ident)``: has that peer messages of ours to acknowledge?"""
        self.inboxes = Inboxes(storage, settings.window_messages, events)
        self.acks = Acks(packeter, self.inboxes, settings.window_messages, settings.window_bytes)
        self.deliveries = Deliveries(
            packeter.link,
            self.inboxes,
            self.acks,
            settings,
            statistics,
            events,
            owes_acks,
        )
        self._settings = settings
        self._manual_ack = settings.manual_ack
        self._statistics = statistics
        self._events = events

    def admitted(self, conversation: Conversation, ident: str) -> Inbox:
        """From now on messages may come on this connection."""
        inbox = self.inboxes.open(ident)
        inbox.lane = IncomingLane(conversation, self._statistics.of(ident))
        self.deliveries.connected(inbox)
        return inbox

    def disconnected(self, inbox: Inbox) -> None:
        """The connection has ended."""
        lane, inbox.lane = inbox.lane, None
        assert lane is not None
        self.inboxes.record(inbox)
        if not inbox.deliveries:
            self.inboxes.let_go(inbox.ident)
        self.deliveries.disconnected(inbox.ident, lane)

    def receive(self, inbox: Inbox, packets: list[Packet], begin: int) -> int:
        """Offer the messages of a batch to the application, unless they are known already.

        From packet number ``begin`` on, up to the first that is no message, whose number is
        returned, or to the end of the connection. Raises what the peer did wrong.

        This is the hot path of receiving: what can be said of the batch is not asked again for
        each message.
        """
        lane = inbox.lane
        assert lane is not None
        conversation = lane.conversation
        conn_id, ident = conversation.conn_id, inbox.ident
        closed = Phase.CLOSED
        settings = self._settings
        receipts = lane.receipts
        deliveries = self.deliveries
        event = deliveries.on_message_recv
        are_recorded = self.inboxes.are_recorded
        acks = conversation.acks
        open_here, add_to_seen = inbox.open, inbox.seen.add
        window_messages, window_bytes = UNLIMITED
        if acks:
            window_messages, window_bytes = receipts.window_left(
                settings.window_messages, settings.window_bytes
            )
            if not inbox.is_recalled:
                self.inboxes.recall(inbox)
        elif inbox.deliveries:
            self._check_open(conversation, inbox, b"")
        received = received_bytes = 0
        number = begin
        # A callback may close this connection, and so begin with the messages of another one.
        outer = deliveries.lane, deliveries.offered, deliveries.deferred
        deliveries.lane, deliveries.deferred = lane, None
        deliveries.thread = threading.get_ident()
        try:
            while number < len(packets) and conversation.phase is not closed:
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
                        lane.counters.duplicates += 1
                        receipts.frame_open(open_here[uuid])
                        continue
                    # Added before it is processed, which saves a look-up, and taken out if it
                    # cannot be.
                    if not add_to_seen(uuid):
                        lane.counters.duplicates += 1
                        if are_recorded:
                            inbox.unrecorded.append(uuid)  # as the latest, see RecentUuids
                        receipts.frame_processed(size)
                        continue
                message = _received(
                    data, None if ttl == frames.INFINITE_TTL else float(ttl), flags, uuid
                )
                if acks and inbox.deliveries:  # now: once offered it has to be counted
                    self._check_open(conversation, inbox, uuid)
                if self._manual_ack:
                    self._offer_for_ack(lane, ident, message)
                    continue
                deliveries.offered = message
                try:
                    if len(event.callbacks) == 1:  # the detour over the event takes 0.3 µs
                        event.callbacks[0](conn_id, ident, message)
                    else:
                        event(conn_id, ident, message)
                except Exception as exc:
                    fault = self._events.fault_of_peer(conn_id, exc)
                    delivery, deliveries.deferred = deliveries.deferred, None
                    if fault is not None:
                        if delivery is not None:
                            deliveries.finish(delivery)
                            raise fault from None
                        # It stays known: it will not be better when it comes again.
                        if may_come_again and are_recorded:
                            inbox.unrecorded.append(uuid)
                        raise fault from None
                    if delivery is None:
                        delivery = deliveries.open(lane, message)
                    deliveries.failed(conn_id, delivery, exc)
                    continue
                except BaseException:  # Ctrl-C: the link closes the connection
                    if deliveries.deferred is not None:
                        deliveries.withdraw(deliveries.deferred)
                    elif may_come_again:
                        inbox.seen.discard(uuid)
                    raise
                if deliveries.deferred is not None:
                    deliveries.deferred = None
                    continue
                if may_come_again and are_recorded:
                    inbox.unrecorded.append(uuid)
                if receipts.behind_gap:
                    receipts.frame_processed(size)
                else:  # as it does then; a call for each message is 6 % of all this
                    receipts.processed += 1
                    receipts.unacked_bytes += size
            return number
        finally:
            deliveries.lane, deliveries.offered, deliveries.deferred = outer
            lane.counters.received += received
            lane.counters.received_bytes += received_bytes
            if conversation.phase is closed:  # by a callback, which has returned after that
                self.inboxes.record(inbox)
            elif inbox.deliveries:
                deliveries.backpressure.check(inbox)

    def _offer_for_ack(self, lane: IncomingLane, ident: str, message: Message) -> None:
        conn_id = lane.conversation.conn_id
        deliveries = self.deliveries
        delivery = deliveries.open(lane, message)
        try:
            deliveries.on_message_recv(conn_id, ident, message)
        except Exception as exc:
            fault = self._events.fault_of_peer(conn_id, exc)
            if fault is not None:
                deliveries.finish(delivery)
                raise fault from None
            deliveries.failed(conn_id, delivery, exc)
        except BaseException:  # Ctrl-C: the link closes the connection, and it will come again
            deliveries.withdraw(delivery)
            raise

    def _check_open(self, conversation: Conversation, inbox: Inbox, uuid: bytes) -> None:
        """The window is one of a connection; here a peer is stopped that comes again and again.

        Two windows, because what it had sent before may have expired there, or died with it. It
        loses nothing that it keeps: it sends that again on the next connection. A 1.6 peer knows
        no window and keeps nothing. It is paused in time, so only one that comes again and again,
        each time with as much as can be read at once, gets as far as this.
        """
        if self._is_too_much(conversation, inbox):
            self.deliveries.on_loop_pass()  # what was acknowledged meanwhile is not open any more
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
