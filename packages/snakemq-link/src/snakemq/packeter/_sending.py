"""Sends blocks of packets through the link, and reports those that were sent."""

from __future__ import annotations

import logging
from collections import deque

from snakemq._guard import Guard
from snakemq.callbacks import Callback
from snakemq.link import Abilities, LinkInterface

from ._connection import CLOSED, OPEN, Connection, Phase

_AT_ONCE = 1024 * 1024
"""Most bytes that are sent of what has waited on one connection before the others have their
turn."""


class Sending:
    """Sends what is queued at the end of a pass, and reports what was sent."""

    def __init__(self, link: LinkInterface, guard: Guard[str], log: logging.Logger) -> None:
        self.on_packet_sent: Callback[[str, int]] = Callback()
        self.on_packets_sent: Callback[[str, int]] = Callback()
        self.at_once = Abilities(link).send_at_once
        self._link = link
        self._guard = guard
        self._log = log
        self._queue: deque[Connection] = deque()

    def look_later(self, conn: Connection) -> None:
        """Look at a connection at the end of the pass."""
        conn.is_queued = True
        self._queue.append(conn)
        self._link.wakeup_poll()

    def on_loop_pass(self) -> None:
        """See :attr:`LinkInterface.on_loop_pass`."""
        queue = self._queue
        for _ in range(len(queue)):  # not more, because their callbacks may send forever
            conn = queue[0]
            conn.is_queued = False
            try:
                self.send(conn, reports_itself=True)
            except Exception as exc:
                self._log.error("conn=%s cannot send: %r", conn.conn_id, exc)
                self._guard.report(conn.conn_id, exc)
            if conn.phase is not CLOSED:
                self._report(conn)
            queue.popleft()  # last of all, so that Ctrl-C in between leaves no connection behind

    def send(self, conn: Connection, *, reports_itself: bool = False) -> None:
        """Give blocks to the link, up to the first one that it has to report later.

        That is each one, unless the link can say at once what it has taken. Even then it reports
        the last block later, so that there is a report in this pass, unless the caller
        ``reports_itself`` at the end of the pass.
        """
        if conn.is_sending or conn.phase is not OPEN:
            return
        writer = conn.writer
        at_once = self.at_once
        left = _AT_ONCE
        while block := writer.next_block():
            size = len(block)
            left -= size
            conn.is_sending = True
            try:
                if at_once is None or left < 0 or not (reports_itself or writer.size > size):
                    self._link.send(conn.conn_id, block)
                    return
                if not at_once(conn.conn_id, block):
                    return
            except Exception:
                conn.is_sending = False  # no report will come, and the block is the next one again
                raise
            conn.is_sending = False
            self._note(conn, writer.sent(size))

    def on_ready_to_send(self, conn: Connection, sent: int) -> None:
        """See :attr:`LinkInterface.on_ready_to_send`."""
        if conn.is_sending:  # else something other than this packeter has sent
            conn.is_sending = False
            self._note(conn, conn.writer.sent(sent))
            # Before more is sent, because callbacks may have more to send, and larger blocks mean
            # fewer system calls.
            self._report(conn)
        self.send(conn)

    def end(self, conn: Connection) -> None:
        """Report what a connection, which the link has closed, had taken over in this pass.

        Packets that are queued in the meantime are lost, like all others that were not sent.
        """
        if conn.phase is OPEN:
            conn.phase = Phase.ENDING
        if not conn.is_reporting:  # else a report has led to this close, and is the last one
            self._report(conn)
        conn.phase = CLOSED

    def _note(self, conn: Connection, ids: list[int]) -> None:
        conn.unreported += ids if self.on_packet_sent.callbacks else ids[-1:]

    def _report(self, conn: Connection) -> None:
        unreported = conn.unreported
        if not unreported:
            return
        conn_id = conn.conn_id
        conn.is_reporting = True
        try:
            last_id = unreported[-1]
            if not self.on_packet_sent.callbacks:
                unreported.clear()
            if self.on_packets_sent.callbacks:
                self._guard.call(conn_id, self.on_packets_sent, conn_id, last_id)
            while unreported and unreported[0] <= last_id and conn.phase is not CLOSED:
                self._guard.call(conn_id, self.on_packet_sent, conn_id, unreported.popleft())
        finally:
            conn.is_reporting = False
