"""The incoming side: offers messages to the application, and recognises repeated ones."""

from collections.abc import Callable, Iterator
from functools import partial

from snakemq.identity import Identity
from snakemq.packeter import Packet, Packeter
from snakemq.queues import InboxStorage, QueuesStorageBase

from .._authorization import Authorization
from .._events import Events
from .._stats import Statistics
from .._storekeeper import Storekeeper
from .._wire import _frames as frames
from .._wire._conversation import Conversation
from ._acks import Acks
from ._batch import Batches
from ._chunks import ChunkReceiver
from ._deliveries import Deliveries
from ._early import EarlyMessages
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
        storekeeper: Storekeeper | None,
        settings: ReceiverSettings,
        statistics: Statistics,
        events: Events,
        authorization: Authorization,
        owes_acks: Callable[[str], bool],
        dead_letters: QueuesStorageBase | None,
        dead_letters_keeper: Storekeeper | None,
    ) -> None:
        """``owes_acks(ident)``: has that peer messages of ours to acknowledge? Each storage comes
        with its storekeeper."""
        self.inboxes = Inboxes(
            packeter.link, storage, storekeeper, settings.window_messages, events
        )
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
            packeter.link, dead_letters, dead_letters_keeper, self.deliveries, statistics, events
        )
        self.offers = Offers(
            packeter.link,
            self.deliveries,
            self.rejecting,
            settings,
            events,
            authorization,
            self.inboxes.transactions,
        )
        self._early = EarlyMessages(self.deliveries.backpressure, settings)
        self.receive = Batches(
            self.inboxes, self.deliveries, self.offers, self._early, settings, events
        ).receive
        self.receive_again: Callable[[str, list[Packet]], object] = lambda conn_id, packets: None
        """``func(conn_id, packets)`` takes messages that had to wait, like new ones."""
        if self.inboxes.recalls is not None:
            self.inboxes.recalls.on_recalled = self._recalled
        self.requeued: Requeued | None = None
        """``None`` without a storage for dead letters."""
        if dead_letters is not None and dead_letters_keeper is not None:
            self.requeued = Requeued(
                packeter.link,
                dead_letters,
                dead_letters_keeper,
                self.deliveries,
                self.offers.hold,
                events,
            )
        self.chunks = ChunkReceiver(packeter, settings, events, self.receive)
        self._statistics = statistics

    def admitted(self, conversation: Conversation, sender: Identity, max_packet_size: int) -> Inbox:
        """Open the lane of a connection: messages may come from now on.

        ``max_packet_size``: what the peer was told.
        """
        ident = sender.ident
        inbox = self.inboxes.open(ident)
        inbox.sender = sender
        largest = max_packet_size - frames.MESSAGE_HEADER_SIZE
        inbox.lane = IncomingLane(conversation, self._statistics.of(ident), sender, largest)
        self.deliveries.connected(inbox)
        self.chunks.admitted(inbox)
        return inbox

    def _recalled(self, inbox: Inbox) -> None:
        lane = inbox.lane
        if lane is not None:
            packets = self._early.release(lane)
            self.deliveries.backpressure.relieve(lane)
            if packets:
                self.receive_again(lane.conversation.conn_id, packets)

    def close(self) -> None:
        """Have recorded what was processed, also if the storage has just failed."""
        self.inboxes.records.close()

    def owed_acks(self) -> Iterator[Callable[[], bool]]:
        """For each peer to which an ack is owed, yield a function that tells if it still is."""
        for inbox in self.inboxes.by_ident.values():
            lane = inbox.lane
            if lane is not None and lane.owes_ack():
                yield partial(_owes_ack, inbox, lane)

    def disconnected(self, inbox: Inbox) -> None:
        """Close the lane of a connection that has ended."""
        lane, inbox.lane = inbox.lane, None
        assert lane is not None
        early = self._early.release(lane)  # they come again
        self.inboxes.record(inbox)
        if not inbox.deliveries:
            self.inboxes.let_go(inbox.ident)
        self.deliveries.disconnected(inbox.ident, lane)
        self.chunks.disconnected(inbox.ident, lane)
        if early:
            self.deliveries.backpressure.relieve()


def _owes_ack(inbox: Inbox, lane: IncomingLane) -> bool:
    return inbox.lane is lane and lane.owes_ack()
