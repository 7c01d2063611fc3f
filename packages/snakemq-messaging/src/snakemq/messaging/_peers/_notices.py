"""Signs of life for a peer that cannot see that what it sends arrives."""

from __future__ import annotations

from snakemq.packeter import Packeter

from .._session import Session
from .._wire import _frames as frames
from ._probe import Prober

ARRIVAL_NOTICE = 0.2
"""Seconds after which a peer that sends all the time is told that it arrives, if nothing else was
sent to it. Less than half of :data:`KEEPALIVE_WAIT`, of which the other side's value is unknown."""


class Notices:
    """Sends pongs that nobody has asked for. For the loop only."""

    def __init__(self, packeter: Packeter, prober: Prober) -> None:
        self._packeter = packeter
        self._link = packeter.link
        self._prober = prober

    def tell_that_it_arrives(self, session: Session) -> None:
        """Give a sign of life to a peer that has sent for some time and heard nothing.

        Its ping may be far behind, and a relay between may have taken everything, so that it cannot
        know whether anything moves. An ack or a message says that as well.
        """
        session.notice_due = session.last_recv + ARRIVAL_NOTICE
        sent = session.sent_packet_id
        if session.notice_packet_id == sent and session.features is not None:
            session.notice_packet_id = session.pong_packet_id = self._packeter.send_packet(
                session.conn_id, frames.PONG
            )
        else:
            session.notice_packet_id = sent

    def look_later_whether_it_is_read(self, session: Session) -> None:
        session.notice_timer = self._link.call_later(
            ARRIVAL_NOTICE, lambda: self._look_whether_it_is_read(session)
        )

    def _look_whether_it_is_read(self, session: Session) -> None:
        """A connection may be paused because of what has arrived. Then the pings of the peer are
        not read, and it must not take this side for dead."""
        session.notice_timer = None
        if session.closed or not self._prober.is_ours(session.conn_id):
            return
        if session.pong_packet_id <= session.sent_packet_id:
            session.pong_packet_id = self._packeter.send_packet(session.conn_id, frames.PONG)
        self.look_later_whether_it_is_read(session)
