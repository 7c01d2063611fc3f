"""When an acknowledgement is sent, and what is recorded before."""

from __future__ import annotations

from snakemq.packeter import Packeter

from .._wire import _frames as frames
from ._inbox import Inbox
from ._inboxes import Inboxes
from ._lane import IncomingLane, Tally

ACK_DELAY = 0.05
"""Seconds that an ack may wait if its sender does not. A sender forgets messages with ttl 0 anyway,
and only needs to know that the window has room. So a call and its reply cost no acks."""


class Acks:
    """Tells peers how many of their messages are processed. For the loop only."""

    def __init__(
        self, packeter: Packeter, inboxes: Inboxes, window_messages: int, window_bytes: int
    ) -> None:
        self._packeter = packeter
        self._link = packeter.link
        self._inboxes = inboxes
        self._window_messages = window_messages
        self._window_bytes = window_bytes
        inboxes.records.on_recorded = self._recorded

    def send_if_due(self, inbox: Inbox) -> None:
        """Send an ack if one is due. Called when a batch is handled, and when an ack was sent."""
        lane = inbox.lane
        if lane is None or not lane.conversation.acks:
            return
        tally = lane.tally
        unacked = tally.processed - tally.acked
        if not unacked:
            # Behind a gap: it cannot be acked yet, but must not be forgotten either.
            self._inboxes.record(inbox)
            return
        if (
            tally.urgent
            or unacked * 4 >= self._window_messages
            or tally.unacked_bytes * 4 >= self._window_bytes
        ):
            self._send(inbox, lane)
        elif lane.ack_timer is None:
            lane.ack_timer = self._link.call_later(ACK_DELAY, lambda: self._send(inbox, lane))

    def packets_sent(self, inbox: Inbox, packet_id: int) -> None:
        """Note that the system has taken over all packets of a connection up to this one."""
        lane = inbox.lane
        if lane is None:
            return  # closed by a callback of on_message_sent
        if lane.ack_packet_id is not None and lane.ack_packet_id <= packet_id:
            lane.ack_packet_id = None
        self.send_if_due(inbox)

    def _send(self, inbox: Inbox, lane: IncomingLane) -> None:
        if lane.ack_timer is not None:
            lane.ack_timer.cancel()
            lane.ack_timer = None
        self._inboxes.record(inbox)
        if inbox.lane is not lane:
            return  # this connection is closed
        tally = lane.tally
        if inbox.is_recorded:
            tally.recorded(tally.mark())
        # A peer that does not read must not make the send buffer grow. When the last ack is sent,
        # the next one is due.
        if lane.ack_packet_id is not None:
            return
        if tally.durable > tally.acked:
            if tally.untold:
                self._tell_rejections(lane, tally)
            tally.ack_sent()
            lane.ack_packet_id = self._packeter.send_packet(
                lane.conversation.conn_id, frames.encode_ack(tally.acked)
            )

    def _tell_rejections(self, lane: IncomingLane, tally: Tally) -> None:
        """Say which messages, of those that the next ack covers, were rejected."""
        conversation = lane.conversation
        covered = [told for told in tally.untold if told[0] <= tally.durable]
        if conversation.tells_rejections:
            for number, rejection in covered:
                frame = frames.encode_rejected(number, rejection)
                self._packeter.send_packet(conversation.conn_id, frame)
        del tally.untold[: len(covered)]

    def _recorded(self, inbox: Inbox) -> None:
        """Acknowledge what is durable by now."""
        lane = inbox.lane
        if lane is not None and lane.conversation.acks:
            self._send(inbox, lane)
            self._packeter.flush(lane.conversation.conn_id)  # or it would wait for the next pass
