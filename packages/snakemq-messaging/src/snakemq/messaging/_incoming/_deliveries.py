"""Messages that have come and are not processed yet."""

import logging
from collections import OrderedDict
from collections.abc import Callable

from snakemq.callbacks import Callback
from snakemq.link import LinkInterface
from snakemq.message import Message

from .._dead_letters import DeadLetter, as_offered
from .._events import Events
from .._rate import Rate
from .._wire._phases import Phase
from .._wire._rejections import Rejection
from ._acks import Acks
from ._backpressure import MESSAGE_OVERHEAD, Backpressure, load_of
from ._delivery import DONE, FAILED, FORGOTTEN, OFFERED, WAITING, Delivery, Standing
from ._inbox import Inbox
from ._inboxes import Inboxes
from ._lane import IncomingLane
from ._settings import ReceiverSettings
from ._stalls import Stalls


class Deliveries:
    """Keeps messages open until they are processed. For the loop only, except :meth:`claim`.

    A message gets here in three ways: all messages do with ``manual_ack``, others when a callback
    defers their acknowledgement or raises.
    """

    def __init__(
        self,
        link: LinkInterface,
        inboxes: Inboxes,
        acks: Acks,
        settings: ReceiverSettings,
        events: Events,
        owes_acks: Callable[[str], bool],
    ) -> None:
        """``owes_acks(ident)``: has that peer messages of ours to acknowledge?"""
        self.on_message_forgotten: Callback[[str, Message]] = Callback()
        self.backpressure = Backpressure(link, settings, owes_acks)
        self.stalls = Stalls(link, settings)
        self.offered = 0
        """How many are with the application."""
        self._inboxes = inboxes
        self._acks = acks
        self._settings = settings
        self._events = events
        self._log = logging.getLogger("snakemq.messaging")
        self._open: dict[Message, Delivery] = {}
        """Those that the application may settle: what is taken out of here is settled."""
        self._came = 0  # deliveries
        # How many bytes the open messages of absent peers need, the longest absent first.
        self._absent: OrderedDict[str, int] = OrderedDict()
        self._absent_bytes = 0
        self._forgettings = Rate(link.time)

    # -- from any thread

    def claim(self, message: Message) -> Delivery | None:
        """Take a delivery out of the hands of the application, which settles it. Thread-safe.

        ``None`` for a message that was forgotten. Raises ``ValueError`` for one that is not to be
        settled, or was settled before.
        """
        delivery = self._open.pop(message, None)  # atomic: of two threads one gets it
        if delivery is None and getattr(message, "stage", None) != FORGOTTEN:
            hint = "" if self._settings.manual_ack else "; see manual_ack and defer_ack"
            raise ValueError(f"{message!r} does not wait for an ack{hint}")
        return delivery

    # -- the life of a delivery

    def open(self, lane: IncomingLane, message: Message, *, is_offered: bool = True) -> Delivery:
        """Open a delivery: the message is not processed when its callbacks have returned."""
        ident = lane.conversation.ident
        assert ident is not None
        if lane.conversation.phase is Phase.CLOSED:  # by a callback; its inbox may be forgotten
            inbox = self._inboxes.hold(ident)
            inbox.sender = lane.sender
        else:
            inbox = self._inboxes.by_ident[ident]
        self._came += 1
        delivery = Delivery(ident, message, self._came)
        lane.tally.frame_open(delivery)
        inbox.deliveries[delivery] = None
        inbox.open_bytes += delivery.size
        self._count(inbox, delivery.size + MESSAGE_OVERHEAD)
        if lane.conversation.acks and message.ttl != 0:
            inbox.seen.discard(message.uuid)
            inbox.open[message.uuid] = delivery
        if is_offered:
            self.hand_out(delivery)
        return delivery

    def open_letter(self, letter: DeadLetter, ended: Callable[[Delivery], object]) -> Delivery:
        """Open a delivery of a message that was requeued. ``ended(delivery)``: it is done.

        It belongs to no connection and to no inbox: it has a storage.
        """
        self._came += 1
        delivery = Delivery(letter.sender, as_offered(letter), self._came)
        delivery.letter, delivery.ended = letter, ended
        return delivery

    def hand_out(self, delivery: Delivery) -> bool:
        """Give a delivery to the application, which may settle it from now on.

        False if there is nothing to be offered: the application has settled it after a callback had
        raised, or it was forgotten.
        """
        standing = delivery.standing
        if standing is WAITING:
            self._open[delivery.message] = delivery
        elif standing is not FAILED or delivery.message not in self._open:
            return False
        self._stands(delivery, OFFERED)
        return True

    def take_back(self, delivery: Delivery, standing: Standing) -> None:
        """Note that the application has settled a delivery, or that a callback has raised."""
        if standing is not FAILED:
            self._open.pop(delivery.message, None)
        self._stands(delivery, standing)

    def is_unsettled(self, delivery: Delivery) -> bool:
        """Does the application still have to say something about it?"""
        return delivery.message in self._open

    def finish(self, delivery: Delivery, rejection: Rejection | None = None) -> None:
        """Note that a delivery is processed, or rejected."""
        if delivery.is_done:
            return
        delivery.rejection = rejection
        if delivery.ended is not None:
            self.take_back(delivery, DONE)
            delivery.ended(delivery)
            return
        uuid = delivery.message.uuid
        inbox = self._inboxes.by_ident[delivery.ident]
        if inbox.open.get(uuid) is delivery:
            inbox.finished(uuid, rejection)
            if self._inboxes.are_recorded:
                inbox.to_record(uuid)
        self.withdraw(delivery)

    def withdraw(self, delivery: Delivery) -> None:
        """Close a delivery, processed or not."""
        self.take_back(delivery, DONE)
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

    def _stands(self, delivery: Delivery, standing: Standing) -> None:
        self.offered += (standing is OFFERED) - (delivery.standing is OFFERED)
        delivery.standing = standing
        if delivery.due is not None:
            delivery.due.cancel()
            delivery.due = None

    def after_gaps_closed(self, ident: str) -> None:
        """Acknowledge what can be acknowledged, now that deliveries of a peer are done."""
        inbox = self._inboxes.by_ident.get(ident)
        if inbox is None:
            return  # a callback may have made room for others
        if inbox.lane is None:
            self._inboxes.record(inbox)
            return
        inbox.lane.tally.close_gaps()
        self._acks.send_if_due(inbox)
        self.backpressure.relieve(inbox.lane)

    def inbox_of(self, delivery: Delivery) -> Inbox | None:
        """Return the inbox of the peer. Only a requeued message may come from one without."""
        return self._inboxes.by_ident.get(delivery.ident)

    def lane_of(self, delivery: Delivery) -> IncomingLane | None:
        """Return the lane of the peer's present connection, if there is one."""
        inbox = self.inbox_of(delivery)
        return inbox.lane if inbox is not None else None

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
        if self._absent_bytes > limit:
            for ident in list(self._absent)[:-1]:
                self._forget(ident)
                if self._absent_bytes <= limit:
                    return

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
            may_settle = delivery.standing in (OFFERED, FAILED)
            if may_settle and self._open.pop(delivery.message, None) is None:
                continue  # settled, and the loop will see that soon
            delivery.message.stage = FORGOTTEN
            self.withdraw(delivery)
            forgotten.append(delivery.message)
        for message in forgotten:
            self._events.call(None, self.on_message_forgotten, ident, message)
