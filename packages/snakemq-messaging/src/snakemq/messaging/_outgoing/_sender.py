"""The outgoing side: takes messages out of the queues and gives them to the packeter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.message import Message
from snakemq.packeter import Packeter
from snakemq.queues import QueuesStorageBase

from .._errands import Errands
from .._events import Events
from .._loop_calls import LoopCalls
from .._registry import Registry
from .._stats import DropReason, Statistics
from .._storekeeper import Storekeeper
from .._wire._conversation import Conversation
from .._wire._rejections import Rejection
from .._wire._window import window_left
from ._chunks import ChunkSender
from ._drains import Drains
from ._express import ExpressLane
from ._lane import OutgoingLane
from ._limits import Occupancy
from ._never_seen import NeverSeen
from ._outbox import Outbox
from ._packing import PACKET_OVERHEAD, pack_batch
from ._posts import Posts
from ._purging import Purging
from ._queue._queue import OutgoingQueue
from ._queue._taking import UNLIMITED
from ._queues import OutgoingQueues
from ._receipts import Receipts
from ._reports import Reports
from ._warnings import Warnings

SEND_AHEAD = 512 * 1024
"""Messages are given to the packeter until this many bytes are queued there: enough to keep the
system busy for a pass of the loop. What is there cannot expire any more."""

MAX_BATCH = 4096
"""Messages that are given to the packeter at once, whatever the window of the peer is."""


class Sender:
    """Sends queued messages to connected peers. For the loop only, except :attr:`outbox` and
    methods that say so."""

    def __init__(
        self,
        packeter: Packeter,
        storage: QueuesStorageBase | None,
        storekeeper: Storekeeper | None,
        occupancy: Occupancy | None,
        registry: Registry,
        statistics: Statistics,
        events: Events,
        *,
        cut_large_messages: bool = True,
        owed_acks: Callable[[], Iterable[Callable[[], bool]]],
    ) -> None:
        """``owed_acks``: see :class:`Drains`."""
        self._packeter = packeter
        self._link = packeter.link
        self._errands = Errands(self._link)
        self._receipts = Receipts(self._link, events, self._errands)
        self.reports = Reports(events, self._receipts)
        self._time = packeter.link.time
        self._statistics = statistics
        reports = self.reports
        self._warnings = Warnings(
            self._time, events.log, (reports.on_message_drop, reports.on_message_dropped)
        )
        self._has_limits = occupancy is not None
        if occupancy is not None:
            occupancy.tell_when_to_look(lambda: self._errands.give(self._look_for_room))
        self.dropped = self.reports.dropped
        self.storage_failed = events.storage_failed
        self._queues = OutgoingQueues(self._link, storage, storekeeper, occupancy, statistics, self)
        self._deletions = self._queues.deletions
        self._express_lane = ExpressLane(packeter, self.reports)
        self.chunks = ChunkSender(packeter, self._deletions, self.reports)
        if not cut_large_messages:
            self.chunks.cut_from = UNLIMITED
        self.outbox = Outbox(self._link, self._queues, registry, self._express_lane, self._warnings)
        self.posts = Posts(
            self._link,
            self._queues,
            storekeeper,
            self.outbox,
            self._receipts,
            self.reports,
            self._warnings,
            statistics,
        )
        self.drains = Drains(self._link, self._queues, self._errands, owed_acks)
        self._never_seen = NeverSeen(self._link, self._queues, statistics)
        if self.queues():  # those that an earlier process has left
            self._never_seen.plan()
        self.calls = LoopCalls(self._link, self._errands)
        self.purging = Purging(
            self._queues, self._errands, self.calls, self.outbox.announce, self.posts.in_line
        )

    def limits_changed(self, ident: str) -> None:
        """Drop what is beyond the new limits of a peer, soon. Thread-safe."""
        self.outbox.announce(self._queues.get(ident))

    def _look_for_room(self) -> None:
        assert self._queues.occupancy is not None
        for ident in self._queues.occupancy.take_roomy():
            self.reports.has_room(ident)

    def on_loop_pass(self) -> None:
        if self._deletions.count:
            self._deletions.flush_if_many()
        if self.posts.arrived:
            self.posts.take_in()
        if self.outbox.announced or self.outbox.absent:
            try:
                self.outbox.hand_over(self._serve)
            except BaseException:
                self._link.wakeup_poll()
                raise
        if self._errands.waiting:
            self._errands.run()

    def _serve(self, queue: OutgoingQueue) -> None:
        lane = queue.lane
        if lane is not None:
            if self._has_limits or lane.is_held or not self._express_lane.serve(lane, queue):
                self.pump(queue)
                self._queues.trim(queue)
            return
        self._queues.absorb(queue)
        self._queues.trim(queue)
        self._queues.watch(queue)
        if not self._never_seen.is_planned:
            self._never_seen.plan()
        self._queues.forget_if_empty(queue)

    def expected(self, conversation: Conversation, ident: str) -> OutgoingQueue:
        """Let messages for ``ident`` wait for this connection, also those with ttl 0, until it is
        admitted."""
        queue = self._queues.get(ident)
        queue.lane = OutgoingLane(conversation)
        return queue

    def admitted(self, queue: OutgoingQueue) -> None:
        """Let messages go to this connection, from the next :meth:`pump` on."""
        lane = queue.lane
        assert lane is not None
        lane.counters = self._statistics.of(queue.ident)
        lane.is_held = False

    def hold(self, queue: OutgoingQueue) -> None:
        """Until :meth:`release`, send nothing that would be lost if the peer is dead."""
        lane = queue.lane
        if lane is not None:
            # A peer that acknowledges may go on: what it does not ack is sent again.
            lane.is_held = not lane.conversation.acks

    def release(self, queue: OutgoingQueue) -> None:
        """Let messages leave again."""
        lane = queue.lane
        if lane is not None:
            lane.is_held = False

    def disconnected(self, queue: OutgoingQueue) -> list[Message]:
        """Let messages wait again. Returns those that cannot; give them to :meth:`settle`."""
        self._queues.absorb(queue)
        return queue.disconnected(self._time())

    def settle(self, queue: OutgoingQueue, dropped: list[Message]) -> None:
        """Report what a disconnection has dropped, once it was reported itself, and tidy up."""
        self._queues.drop(queue, dropped, DropReason.DISCONNECTED)
        self._queues.watch(queue)
        self._queues.sweep(queue)
        self._deletions.flush_unless_failing()
        self._queues.forget_if_empty(queue)

    def pump(self, queue: OutgoingQueue) -> None:
        """Give waiting messages to the packeter, until enough is there."""
        while self._pump_batch(queue):
            pass
        lane = queue.lane
        if lane is not None and (queue.large.bytes or lane.turns):
            self.chunks.send(lane, queue)

    def places_are_known(self, queue: OutgoingQueue) -> None:
        """Let large messages go: the peer has said how much it has of them already."""
        lane = queue.lane
        assert lane is not None
        lane.places_are_known = True
        if queue.large.bytes:
            self.chunks.send(lane, queue)

    def _pump_batch(self, queue: OutgoingQueue) -> bool:
        """Send one batch. True if there may be more to send."""
        lane = queue.lane
        if lane is None or lane.is_held or not queue.has_more():
            return False
        conversation = lane.conversation
        max_messages, max_bytes = self._room(conversation, queue)
        if queue.has_stored:
            self._queues.absorb(queue)
            if max_messages > 0 and max_bytes > 0:
                self._queues.fill(queue)
        now = self._time()
        aside = queue.aside.count
        taken = queue.take(
            *(now, max_messages, max_bytes, conversation.largest_message),
            self.chunks.cut_from if conversation.takes_chunks else UNLIMITED,
        )
        if taken.messages:
            self._send(lane, queue, taken.messages, now)
        lane.counters.resent += taken.resent
        is_aside = queue.aside.count != aside
        if is_aside or taken.large or queue.has_more():
            self._queues.watch(queue)
        if taken.expired or taken.too_large or is_aside:
            # Others have their turn before more is taken out of the queue.
            if queue.has_more() and not queue.is_stalled:
                self.outbox.announce(queue)
            # Callbacks come last, because one may close the connection.
            self._queues.drop(queue, taken.expired, DropReason.EXPIRED)
            self._refuse(conversation, queue, taken.too_large)
            return False
        return bool(taken.messages or taken.large) and queue.has_more()

    def _refuse(
        self, conversation: Conversation, queue: OutgoingQueue, messages: list[Message]
    ) -> None:
        """Report messages that are too large for the peer, and drop those with a ttl of 0."""
        if queue.aside.count:
            self._warnings.too_large(queue, conversation.largest_message)
        for message in messages:
            self.reports.too_large(conversation, queue.ident, message)
            if message.ttl == 0:
                self._queues.drop(queue, [message], DropReason.TOO_LARGE)

    def _send(
        self, lane: OutgoingLane, queue: OutgoingQueue, messages: list[Message], now: float
    ) -> None:
        conversation = lane.conversation
        parts, sizes = pack_batch(messages, now, lane)
        packeter = self._packeter
        first_id = packeter.send_framed(conversation.conn_id, parts, sizes)
        lane.unsent.append((first_id, first_id + len(sizes) - 1))
        counters = lane.counters
        counters.sent += len(sizes)
        counters.sent_bytes += sum(sizes) - len(sizes) * PACKET_OVERHEAD
        if conversation.acks and lane.round_trip_probe is None:
            lane.round_trip_probe = (lane.acked + len(queue.in_flight), now)
        packeter.flush(conversation.conn_id)

    def _room(self, conversation: Conversation, queue: OutgoingQueue) -> tuple[int, int]:
        """Return how many messages and bytes may be given to the packeter now."""
        if queue.is_stalled:
            return 0, 0
        max_bytes = SEND_AHEAD - self._packeter.get_unsent_size(conversation.conn_id)
        features = conversation.features
        if features is None or not conversation.acks:
            return MAX_BATCH, max_bytes
        messages_left, bytes_left = window_left(
            features.window_messages,
            features.window_bytes,
            len(queue.in_flight),
            queue.in_flight_bytes,
        )
        if queue.has_stored:
            # A crash would make us send the large messages first, too, which are overtaken now.
            before = len(queue.in_flight) + queue.large.stored
            room = self._deletions.room(queue.ident, features.window_messages, before)
            messages_left = min(messages_left, room)
        return min(MAX_BATCH, messages_left), min(max_bytes, bytes_left)

    def packets_sent(self, queue: OutgoingQueue, packet_id: int) -> None:
        """Note that the system has taken over all packets of a connection up to this one."""
        lane = queue.lane
        assert lane is not None
        count = lane.count_sent(packet_id)
        if count:
            if lane.conversation.acks:
                begin = lane.sent
                lane.sent += count
                sent = self._sent_ones(queue, begin, lane.sent)
            else:
                sent = queue.landed(count)
                self._queues.retire(queue, sent)
            self.reports.sent(lane, queue, sent)
        if not queue.is_announced:  # else it is served in this pass
            self.pump(queue)

    def acked(self, queue: OutgoingQueue, processed: int) -> None:
        """Note that the peer has processed this many messages of this connection.

        Raises :exc:`~snakemq.exceptions.SnakeMQBrokenMessage` if that cannot be true.
        """
        lane = queue.lane
        assert lane is not None
        count = processed - lane.acked
        if not 0 <= count <= len(queue.in_flight):
            raise SnakeMQBrokenMessage(
                f"{processed} messages acknowledged, after {lane.acked},"
                f" with {len(queue.in_flight)} in flight"
            )
        begin = lane.acked
        lane.acked = processed
        probe = lane.round_trip_probe
        if probe is not None and processed >= probe[0]:
            lane.round_trip_probe = None
            lane.counters.measured_round_trip(self._link.time() - probe[1])
        early: list[Message] = []
        if count > lane.sent:
            # The ack is here before the link has reported the send.
            early = self._sent_ones(queue, lane.sent, count)
            lane.skip_sent(count - lane.sent)
            lane.sent = count
        lane.sent -= count
        delivered = queue.landed(count)
        rejected: list[tuple[Message, Rejection]] = []
        if lane.rejections:
            delivered, rejected = self._without_rejected(lane, delivered, begin + 1)
        lane.counters.delivered += len(delivered)
        self._queues.retire(queue, delivered)
        self.reports.sent(lane, queue, early)
        features = lane.conversation.features
        if features is not None:
            self._queues.keep_up(queue, features.window_messages)
        self.reports.delivered(lane, queue, delivered)
        for message, rejection in rejected:
            self._queues.drop(queue, [message], DropReason.REJECTED, rejection.reason)
        if not queue.is_announced:
            self.pump(queue)

    def rejected(self, queue: OutgoingQueue, number: int, rejection: Rejection) -> None:
        """Note that the peer has given up a message of this connection. Its ack will follow.

        Raises :exc:`~snakemq.exceptions.SnakeMQBrokenMessage` if that cannot be true.
        """
        lane = queue.lane
        assert lane is not None
        if not 0 < number - lane.acked <= len(queue.in_flight) or number in lane.rejections:
            raise SnakeMQBrokenMessage(
                f"message {number} rejected, after {lane.acked} were acknowledged, with"
                f" {len(queue.in_flight)} in flight and {len(lane.rejections)} rejected"
            )
        lane.rejections[number] = rejection

    @staticmethod
    def _without_rejected(
        lane: OutgoingLane, acked: list[Message], number: int
    ) -> tuple[list[Message], list[tuple[Message, Rejection]]]:
        """Split what an ack covers into delivered and rejected messages. The first one is
        ``number``."""
        delivered, rejected = [], []
        for place, message in enumerate(acked, number):
            rejection = lane.rejections.pop(place, None)
            if rejection is None:
                delivered.append(message)
            else:
                rejected.append((message, rejection))
        return delivered, rejected

    def _sent_ones(self, queue: OutgoingQueue, begin: int, end: int) -> list[Message]:
        """Return the messages in flight with those numbers, if anybody wants to know that they are
        sent."""
        if self.reports.on_message_sent.callbacks or self._receipts.are_held:
            return list(islice(queue.in_flight, begin, end))
        return []

    def owes_acks(self, ident: str) -> bool:
        """Has that peer messages to acknowledge?"""
        queue = self._queues.known(ident)
        return queue is not None and queue.lane is not None and bool(queue.in_flight)

    def outstanding(self, ident: str) -> tuple[int, int]:
        """Return how many messages for a peer are in memory, and their bytes."""
        queue = self._queues.known(ident)
        if queue is None:
            return 0, 0
        if queue.incoming:
            self._queues.absorb(queue)  # so that each is counted once, however often this is asked
        return (
            queue.waiting.count + len(queue.large) + len(queue.in_flight),
            queue.waiting.bytes + queue.large.bytes + queue.in_flight_bytes,
        )

    def queues(self) -> list[OutgoingQueue]:
        """Return all queues. Thread-safe."""
        return list(self._queues)

    def close(self, failed: Callable[[Exception], object]) -> None:
        """Have the storage brought up to date. Deletions that fail are reported as ever, else
        ``failed(error)`` is called in the loop."""
        self.posts.take_in()
        self._deletions.close()
        self._queues.store_ttls(failed)

    def unread(self) -> int:
        """Count the messages that the loop has not seen yet. Thread-safe."""
        return self.outbox.size() + len(self.posts.arrived)

    def end(self) -> None:
        """End what waits for anything: the link is gone."""
        self.posts.end()
        self._receipts.end()
        self.drains.end()

    def resume(self, ident: str) -> None:
        self._serve(self._queues.get(ident))
