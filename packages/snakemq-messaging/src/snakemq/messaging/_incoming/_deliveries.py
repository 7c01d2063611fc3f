"""Messages that were offered to the application and are not processed yet."""

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from snakemq.callbacks import Callback
from snakemq.exceptions import SnakeMQBrokenFormat
from snakemq.link import LinkInterface
from snakemq.message import Message

from .._events import Events
from .._rate import Rate
from .._stats import Statistics
from .._wire._phases import Phase
from ._acks import Acks
from ._backpressure import MESSAGE_OVERHEAD, Backpressure, load_of
from ._inbox import Inbox
from ._inboxes import Inboxes
from ._lane import FORGOTTEN, Delivery, IncomingLane
from ._settings import ReceiverSettings


class Deliveries:
    """Keeps messages open until they are processed, and offers them again if a callback has
    raised. For the loop only, except :meth:`ack`.

    A message gets here in three ways: all messages do with ``manual_ack``, others when a callback
    defers their acknowledgement or raises.
    """

    def __init__(
        self,
        link: LinkInterface,
        inboxes: Inboxes,
        acks: Acks,
        settings: ReceiverSettings,
        statistics: Statistics,
        events: Events,
        owes_acks: Callable[[str], bool],
    ) -> None:
        """``owes_acks(ident)``: has that peer messages of ours to acknowledge?"""
        self.on_message_recv: Callback[[str, str, Message]] = Callback()
        self.on_message_reject: Callback[[str, str, Message]] = Callback()
        self.on_message_forgotten: Callback[[str, Message]] = Callback()
        self.backpressure = Backpressure(link, settings, owes_acks)
        # What is going on in the loop, for defer().
        self.thread = 0
        """The thread that offers messages: the thread of the loop, or any while no loop runs."""
        self.lane: IncomingLane | None = None
        """The lane of the connection whose messages are being offered for the first time."""
        self.offered: Message | None = None
        """The message whose callbacks are being called, if its acknowledgement can be deferred."""
        self.deferred: Delivery | None = None
        """Set when a callback has deferred the acknowledgement of :attr:`offered`."""
        self.offered_again: Delivery | None = None
        self._link = link
        self._inboxes = inboxes
        self._acks = acks
        self._settings = settings
        self._statistics = statistics
        self._events = events
        self._log = logging.getLogger("snakemq.messaging")
        self._open: dict[Message, Delivery] = {}
        self._acks_from_threads: deque[Delivery] = deque()
        # How many bytes the open messages of absent peers need, the longest absent first.
        self._absent: OrderedDict[str, int] = OrderedDict()
        self._absent_bytes = 0
        self._forgettings = Rate(link.time)

    # -- from any thread

    def ack(self, message: Message) -> None:
        """See :meth:`Messaging.ack`. Thread-safe."""
        delivery = self._open.pop(message, None)  # taken out: there is one ack for a message
        if delivery is None:
            if getattr(message, "stage", None) == FORGOTTEN:
                return
            hint = "" if self._settings.manual_ack else "; see manual_ack and defer_ack"
            raise ValueError(f"{message!r} does not wait for an ack{hint}")
        self._acks_from_threads.append(delivery)
        self._link.wakeup_poll()

    # -- in the loop

    def on_loop_pass(self) -> None:
        if self._acks_from_threads:
            self._take_acks()

    def _take_acks(self) -> None:
        acks = self._acks_from_threads
        changed: dict[str, None] = {}  # in their order: a simulation must be repeatable
        while acks:
            delivery = acks.popleft()
            self.finish(delivery)
            changed[delivery.ident] = None
        for ident in changed:
            self._after_gaps_closed(ident)

    def defer(self, message: Message) -> None:
        """See :meth:`Messaging.defer_ack`."""
        if self._settings.manual_ack:
            return
        if message is not self.offered or threading.get_ident() != self.thread:
            if self.deferred is not None and self.deferred.message is message:
                return
            raise ValueError(f"{message!r} is not being offered: defer its ack in the callback")
        self.offered = None
        lane = self.lane
        if lane is None:  # it is offered again, and open since the first time
            self.deferred = self.offered_again
            return
        self.deferred = self.open(lane, message)

    def open(self, lane: IncomingLane, message: Message) -> Delivery:
        """Open a delivery: the message is not processed when its callbacks have returned."""
        ident = lane.conversation.ident
        assert ident is not None
        if lane.conversation.phase is Phase.CLOSED:  # by a callback; its inbox may be forgotten
            inbox = self._inboxes.hold(ident)
        else:
            inbox = self._inboxes.by_ident[ident]
        delivery = Delivery(ident, message)
        self._open[message] = delivery
        lane.receipts.frame_open(delivery)
        inbox.deliveries[delivery] = None
        inbox.open_bytes += delivery.size
        self._count(inbox, delivery.size + MESSAGE_OVERHEAD)
        if lane.conversation.acks and message.ttl != 0:
            inbox.seen.discard(message.uuid)
            inbox.open[message.uuid] = delivery
        return delivery

    def failed(self, conn_id: str, delivery: Delivery, exc: Exception) -> None:
        """Offer a message again later, or reject it, because a callback has raised."""
        self.offered = None  # callbacks of on_error are not offered the message
        delivery.attempts += 1
        self._events.raised(conn_id, exc)
        if delivery.message not in self._open:
            return  # one callback has acknowledged it before another one raised
        if delivery.attempts < self._settings.max_attempts:
            self._link.call_later(self._settings.retry_delay, lambda: self._offer_again(delivery))
            return
        self._log.error("ident=%r rejected %s", delivery.ident, delivery.message)
        self._statistics.of(delivery.ident).rejected += 1
        self._events.call(
            conn_id, self.on_message_reject, conn_id, delivery.ident, delivery.message
        )
        self.finish(delivery)
        self._after_gaps_closed(delivery.ident)

    def _offer_again(self, delivery: Delivery) -> None:
        if delivery.message not in self._open:
            return
        lane = self._inboxes.by_ident[delivery.ident].lane
        conn_id = lane.conversation.conn_id if lane is not None else ""
        self.lane, self.offered_again = None, delivery
        self.offered, self.deferred = delivery.message, None
        self.thread = threading.get_ident()
        try:
            self.on_message_recv(conn_id, delivery.ident, delivery.message)
        except Exception as exc:
            fault = self._events.fault_of_peer(conn_id, exc)
            if fault is None:
                self.failed(conn_id, delivery, exc)
            else:
                self._proved_broken(delivery, lane, fault)
        except BaseException:  # Ctrl-C
            self._link.call_later(self._settings.retry_delay, lambda: self._offer_again(delivery))
            raise
        else:
            if not self._settings.manual_ack and self.deferred is None:
                self.finish(delivery)
                self._after_gaps_closed(delivery.ident)
        finally:
            self.offered_again = self.offered = self.deferred = None

    def _proved_broken(
        self, delivery: Delivery, lane: IncomingLane | None, fault: SnakeMQBrokenFormat
    ) -> None:
        """Close the connection, as after a first offer. It may be another connection by now."""
        self.finish(delivery)
        self._after_gaps_closed(delivery.ident)
        conn_id = lane.conversation.conn_id if lane is not None else ""
        self._log.error("conn=%s ident=%r %s", conn_id, delivery.ident, fault)
        self._events.report(conn_id, fault)
        if lane is not None and lane.conversation.phase is not Phase.CLOSED:
            self._link.close(conn_id)

    def finish(self, delivery: Delivery) -> None:
        """Note that a delivery is processed."""
        if delivery.done:
            return
        uuid = delivery.message.uuid
        inbox = self._inboxes.by_ident[delivery.ident]
        if inbox.open.get(uuid) is delivery:
            inbox.seen.add(uuid)
            if self._inboxes.are_recorded:
                inbox.unrecorded.append(uuid)
        self.withdraw(delivery)

    def withdraw(self, delivery: Delivery) -> None:
        """Close a delivery, processed or not."""
        delivery.done = True
        self._open.pop(delivery.message, None)
        uuid = delivery.message.uuid
        inbox = self._inboxes.by_ident[delivery.ident]  # kept for as long as anything is open
        if inbox.open.get(uuid) is delivery:
            del inbox.open[uuid]
        del inbox.deliveries[delivery]
        inbox.open_bytes -= delivery.size
        self._count(inbox, -delivery.size - MESSAGE_OVERHEAD)
        if not inbox.deliveries and inbox.lane is None:
            self._inboxes.record(inbox)
            self._inboxes.let_go(delivery.ident)

    def _after_gaps_closed(self, ident: str) -> None:
        inbox = self._inboxes.by_ident.get(ident)
        if inbox is None:
            return  # a callback may have made room for others
        if inbox.lane is None:
            self._inboxes.record(inbox)
            return
        inbox.lane.receipts.close_gaps()
        self._acks.send_if_due(inbox)
        self.backpressure.relieve(inbox.lane)

    # -- how much is open

    def connected(self, inbox: Inbox) -> None:
        """Count what is open of a peer, from earlier connections, among the connected ones."""
        size = self._absent.pop(inbox.ident, 0)
        if size:
            self._absent_bytes -= size
            self.backpressure.bytes += size
            self.backpressure.check(inbox)

    def disconnected(self, ident: str, lane: IncomingLane) -> None:
        """Keep what is open of a peer that has gone, if there is room."""
        backpressure = self.backpressure
        backpressure.disconnected(lane)
        size = load_of(self._inboxes.by_ident[ident]) if ident in self._inboxes.by_ident else 0
        if not size:
            return
        backpressure.bytes -= size
        self._absent[ident] = size
        self._absent_bytes += size
        self._forget_longest_absent()
        backpressure.relieve()

    def _count(self, inbox: Inbox, size: int) -> None:
        """Count this many more bytes of a peer as open, or fewer if ``size`` is below 0."""
        if inbox.lane is not None:
            self.backpressure.bytes += size
            return
        ident = inbox.ident
        left = self._absent.get(ident, 0) + size
        self._absent_bytes += size
        if left:
            self._absent[ident] = left
        else:
            del self._absent[ident]

    def _forget_longest_absent(self) -> None:
        """Make room. The last peer stays, however much it has left: it may be back soon."""
        limit = self._settings.max_unprocessed_bytes
        while self._absent_bytes > limit and len(self._absent) > 1:
            self._forget(next(iter(self._absent)))

    def _forget(self, ident: str) -> None:
        """Give up what is open of an absent peer. A 2.x peer sends it again."""
        deliveries = list(self._inboxes.by_ident[ident].deliveries)
        # Idents cost nothing, so a stranger could fill the log with this.
        peers = self._forgettings.count("")
        self._log.log(
            logging.WARNING if peers else logging.DEBUG,
            "ident=%r is absent, and %d messages of it are not processed: forgotten, because those"
            " of absent peers need %d bytes%s",
            *(ident, len(deliveries), self._absent_bytes),
            f" (as were those of {peers - 1} peers before)" if peers > 1 else "",
        )
        forgotten = []
        for delivery in deliveries:
            if self._open.pop(delivery.message, None) is None:
                self.finish(delivery)  # acknowledged, but the loop has not seen that yet
                continue
            delivery.message.stage = FORGOTTEN
            self.withdraw(delivery)
            forgotten.append(delivery.message)
        for message in forgotten:
            self._events.call(None, self.on_message_forgotten, ident, message)
