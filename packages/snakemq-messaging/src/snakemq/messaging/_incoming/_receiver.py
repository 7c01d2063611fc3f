"""The incoming side: offers messages to the application, and recognises repeated ones."""

from collections.abc import Callable

from snakemq.identity import Identity
from snakemq.packeter import Packeter
from snakemq.queues import InboxStorage, QueuesStorageBase

from .._authorization import Authorization
from .._events import Events
from .._stats import Statistics
from .._storekeeper import Storekeeper
from .._wire._conversation import Conversation
from ._acks import Acks
from ._batch import Batches
from ._deliveries import Deliveries
from ._inbox import Inbox
from ._inboxes import Inboxes
from ._lane import IncomingLane
from ._offers import Offers
from ._rejecting import Rejecting
from ._requeued import Requeued
from ._settings import ReceiverSettings


class Receiver:
    """Takes message frames of identified peers. For the loop only."""

    def __init__(
        self,
        packeter: Packeter,
        storage: InboxStorage | None,
        settings: ReceiverSettings,
        statistics: Statistics,
        events: Events,
        authorization: Authorization,
        owes_acks: Callable[[str], bool],
        dead_letters: QueuesStorageBase | None,
        storekeeper: Storekeeper | None,
    ) -> None:
        """``owes_acks(ident)``: has that peer messages of ours to acknowledge? ``storekeeper``: of
        the dead letters."""
        self.inboxes = Inboxes(storage, settings.window_messages, events)
        self.acks = Acks(packeter, self.inboxes, settings.window_messages, settings.window_bytes)
        self.deliveries = Deliveries(
            packeter.link,
            self.inboxes,
            self.acks,
            settings,
            events,
            owes_acks,
        )
        self.rejecting = Rejecting(
            packeter.link, dead_letters, storekeeper, self.deliveries, statistics, events
        )
        self.offers = Offers(
            packeter.link, self.deliveries, self.rejecting, settings, events, authorization
        )
        self.receive = Batches(self.inboxes, self.deliveries, self.offers, settings, events).receive
        self.requeued: Requeued | None = None
        """``None`` without a storage for dead letters."""
        if dead_letters is not None and storekeeper is not None:
            self.requeued = Requeued(
                packeter.link, dead_letters, storekeeper, self.deliveries, self.offers.hold, events
            )
        self._statistics = statistics

    def admitted(self, conversation: Conversation, sender: Identity) -> Inbox:
        """Open the lane of a connection: messages may come from now on."""
        ident = sender.ident
        inbox = self.inboxes.open(ident)
        inbox.sender = sender
        inbox.lane = IncomingLane(conversation, self._statistics.of(ident), sender)
        self.deliveries.connected(inbox)
        return inbox

    def disconnected(self, inbox: Inbox) -> None:
        """Close the lane of a connection that has ended."""
        lane, inbox.lane = inbox.lane, None
        assert lane is not None
        self.inboxes.record(inbox)
        if not inbox.deliveries:
            self.inboxes.let_go(inbox.ident)
        self.deliveries.disconnected(inbox.ident, lane)
