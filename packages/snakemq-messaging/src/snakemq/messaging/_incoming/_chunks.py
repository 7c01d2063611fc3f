"""Puts large messages together, and tells their senders how far they have come."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from snakemq.callbacks import Callback
from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.link import TimerHandle
from snakemq.packeter import Packet, Packeter

from .._events import Events
from .._wire import _cutting as cutting
from .._wire import _frames as frames
from ._assembly import Assembly
from ._inbox import Inbox
from ._lane import IncomingLane
from ._settings import ReceiverSettings

KEPT_FOR = 300.0
"""Seconds for which the unfinished messages of an absent peer are kept."""


class ChunkReceiver:
    """Takes heads and chunks of admitted peers. For the loop only.

    The bytes of unfinished messages count among those of unfinished packets, see
    :class:`~snakemq.packeter.Packeter`. Those of absent peers may be as many as
    ``max_unprocessed_bytes``; then the longest absent peer's are forgotten first, and never those
    of the peer that left last.
    """

    def __init__(
        self,
        packeter: Packeter,
        settings: ReceiverSettings,
        events: Events,
        receive: Callable[[Inbox, list[Packet], int], int],
    ) -> None:
        """``receive``: takes a whole message, see :meth:`Batches.receive`."""
        self.on_recv_progress: Callback[[str, str, bytes, int, int]] = Callback()
        self._packeter = packeter
        self._link = packeter.link
        self._settings = settings
        self._events = events
        self._receive = receive
        self._of_peers: dict[str, Assembly] = {}
        # The longest absent first, with the timer that ends it.
        self._absent: OrderedDict[str, TimerHandle] = OrderedDict()
        self._absent_bytes = 0

    def admitted(self, inbox: Inbox) -> None:
        """Tell a peer how much there is of messages that it may continue."""
        lane = inbox.lane
        assert lane is not None
        assembly = self._of_peers.get(inbox.ident)
        if assembly is None:
            return
        timer = self._absent.pop(inbox.ident, None)
        if timer is not None:
            timer.cancel()
            self._absent_bytes -= assembly.held
        if not lane.conversation.takes_chunks:
            del self._of_peers[inbox.ident]
            return
        lane.assembly = assembly
        for place, is_whole in assembly.places():
            if not is_whole or _is_known(inbox, place.uuid):
                self._packeter.send_packet(lane.conversation.conn_id, cutting.encode_place(place))
        self._count(lane, assembly)

    def receive(self, inbox: Inbox, frame: bytes) -> None:
        """Take a head, a chunk, or the news that the rest of a message does not come.

        Raises an exception of the ``SnakeMQException`` family if the peer breaks the rules.
        """
        lane = inbox.lane
        assert lane is not None
        assembly = lane.assembly
        if assembly is None:
            assembly = lane.assembly = Assembly(self._settings.window_bytes)
            self._of_peers[inbox.ident] = assembly
        if frame[0] == frames.FRAME_TYPE_CHUNK:
            message = assembly.chunk(*cutting.decode_chunk(frame))
            if self.on_recv_progress.callbacks:
                lane.progress = (*(m for m in lane.progress if m is not message), message)
            if not message.missing:
                self._receive(inbox, [message.packet()], 0)
        elif frame[0] == frames.FRAME_TYPE_HEAD:
            head = cutting.decode_head(frame)
            if assembly.head(head, lane.largest_taken) is None:
                if not _is_known(inbox, head.uuid):
                    raise SnakeMQBrokenMessage(f"message {head.uuid.hex()} is not known any more")
                self._receive(inbox, [head.repetition()], 0)
        else:
            assembly.abort(cutting.decode_abort(frame))

    def confirm(self, inbox: Inbox) -> None:
        """Tell a peer how many bytes of its chunks have arrived. Called when a batch is handled,
        and when that was sent."""
        lane = inbox.lane
        if lane is None:
            return
        assembly = lane.assembly
        if assembly is None:
            return
        self._count(lane, assembly)
        # A peer that does not read must not make the send buffer grow.
        if assembly.received > lane.arrived_told and lane.arrival_packet_id is None:
            lane.arrived_told = assembly.received
            lane.arrival_packet_id = self._packeter.send_packet(
                lane.conversation.conn_id, cutting.encode_arrived(assembly.received)
            )
        if lane.progress:
            self._tell_progress(inbox, lane)

    def packets_sent(self, inbox: Inbox, lane: IncomingLane, packet_id: int) -> None:
        """Note that the system has taken over all packets of a connection up to this one."""
        if lane.arrival_packet_id is not None and lane.arrival_packet_id <= packet_id:
            lane.arrival_packet_id = None
            self.confirm(inbox)

    def disconnected(self, ident: str, lane: IncomingLane) -> None:
        """Keep what there is of the messages of a peer that has gone."""
        assembly = lane.assembly
        if assembly is None:
            return
        assembly.disconnected()
        if assembly.is_empty():
            del self._of_peers[ident]
            return
        self._absent[ident] = self._link.call_later(KEPT_FOR, lambda: self._forget(ident))
        self._absent_bytes += assembly.held
        while self._absent_bytes > self._settings.max_unprocessed_bytes and len(self._absent) > 1:
            self._forget(next(iter(self._absent)))

    def _forget(self, ident: str) -> None:
        self._absent.pop(ident).cancel()
        self._absent_bytes -= self._of_peers.pop(ident).held

    def _count(self, lane: IncomingLane, assembly: Assembly) -> None:
        self._packeter.count_unfinished(lane.conversation.conn_id, assembly.held, assembly.missing)

    def _tell_progress(self, inbox: Inbox, lane: IncomingLane) -> None:
        messages, lane.progress = lane.progress, ()
        conn_id = lane.conversation.conn_id
        for message in messages:
            self._events.call(
                conn_id,
                self.on_recv_progress,
                *(conn_id, inbox.ident, message.uuid, message.arrived, message.size),
            )


def _is_known(inbox: Inbox, uuid: bytes) -> bool:
    """Will this message be recognised if it comes again?"""
    return uuid in inbox.open or uuid in inbox.seen
