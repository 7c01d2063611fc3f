"""When an acknowledgement is sent, and what is recorded before."""

from __future__ import annotations

from snakemq.packeter import Packeter

from .._session import Session
from .._wire import _frames as frames
from ._inboxes import Inboxes

ACK_DELAY = 0.05
"""Seconds that an ack may wait when nobody does: a sender forgets messages with ttl 0 anyway, it
only needs to know that there is room in the window. So a call and its reply cost no acks."""

RECORD_RETRY_DELAY = 1.0
"""Seconds until a failed inbox storage is tried again."""


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

    def send_if_due(self, session: Session) -> None:
        """To be called when a batch of frames is handled, and when packets were sent."""
        if not session.acks:
            return
        receipts = session.receipts
        unacked = receipts.processed - receipts.acked
        if not unacked:
            # Behind a gap: it cannot be acked yet, but must not be forgotten either.
            if session.ident is not None and session.inbox is not None:
                self._inboxes.record(session.ident, session.inbox)
            return
        if (
            receipts.urgent
            or unacked * 4 >= self._window_messages
            or receipts.unacked_bytes * 4 >= self._window_bytes
        ):
            self._send(session)
        elif session.ack_timer is None:
            session.ack_timer = self._link.call_later(ACK_DELAY, lambda: self._send(session))

    def _send(self, session: Session) -> None:
        if session.ack_timer is not None:
            session.ack_timer.cancel()
            session.ack_timer = None
        if session.closed:
            return
        assert session.ident is not None
        if session.inbox is not None and not self._inboxes.record(session.ident, session.inbox):
            session.ack_timer = self._link.call_later(
                RECORD_RETRY_DELAY, lambda: self._send(session)
            )
            return
        # A peer that does not read must not make the send buffer grow. When the last ack is sent,
        # the next one is due.
        if session.ack_packet_id > session.sent_packet_id:
            return
        receipts = session.receipts
        if receipts.processed > receipts.acked:
            receipts.ack_sent()
            session.ack_packet_id = self._packeter.send_packet(
                session.conn_id, frames.encode_ack(receipts.processed)
            )
