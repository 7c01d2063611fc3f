"""Signs of life for a peer that cannot see whether its data arrive."""

from __future__ import annotations

from snakemq.packeter import Packeter

from .._wire import _frames as frames
from .._wire._phases import Phase
from ._connection import Connection
from ._probe import Prober

ARRIVAL_NOTICE = 0.2
"""Seconds after which a peer that keeps sending gets a pong, if nothing else was sent to it. Less
than half of :data:`KEEPALIVE_WAIT`; the value of the other side is unknown."""


class Notices:
    """Sends pongs, also without a ping. For the loop only."""

    def __init__(self, packeter: Packeter, prober: Prober) -> None:
        self._packeter = packeter
        self._link = packeter.link
        self._prober = prober

    def tell_that_it_arrives(self, connection: Connection) -> None:
        """Send a pong to a peer that has sent for some time and heard nothing.

        Its ping may be far behind its data, and a relay may have taken everything, so it cannot
        know whether anything moves. An ack or a message would tell it, too.
        """
        connection.notice_due = connection.last_recv + ARRIVAL_NOTICE
        conversation = connection.conversation
        sent, _ = self._packeter.get_progress(conversation.conn_id)
        if connection.notice_position == sent and conversation.features is not None:
            self._send(connection)
            connection.notice_position = sum(self._packeter.get_progress(conversation.conn_id))
        else:
            connection.notice_position = sent

    def look_later_whether_it_is_read(self, connection: Connection) -> None:
        connection.notice_timer = self._link.call_later(
            ARRIVAL_NOTICE, lambda: self._look_whether_it_is_read(connection)
        )

    def _look_whether_it_is_read(self, connection: Connection) -> None:
        """Send a pong if reading is paused: then the pings of the peer are not read, and it must
        not take this side for dead."""
        connection.notice_timer = None
        conversation = connection.conversation
        if conversation.phase is Phase.CLOSED or not self._prober.is_ours(conversation.conn_id):
            return
        self.answer(connection)
        self.look_later_whether_it_is_read(connection)

    def answer(self, connection: Connection) -> None:
        """Send a pong, unless the last one still waits to be sent.

        One pong answers all pings, and a peer that does not read must not fill the send buffer.
        """
        if connection.pong_packet_id <= connection.sent_packet_id:
            self._send(connection)

    def _send(self, connection: Connection) -> None:
        connection.pong_packet_id = self._packeter.send_packet(
            connection.conversation.conn_id, frames.PONG
        )
