"""Input: reading from connections, and pauses in it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from snakemq.callbacks import Callback

from .._loop._loop import Loop
from .._loop._poller import READ
from ._socket import RECV_SIZE, WOULD_BLOCK, LinkSocket
from ._table import ConnectionTable
from ._watch import Watch

if TYPE_CHECKING:
    from .._settings import Settings

_log = logging.getLogger("snakemq.link")

_LAST_WORDS = 8 * 1024 * 1024
"""Bytes that are still read from a connection on which nothing can be sent any more: more than a
system keeps for one whose other side has closed it."""


class Receiving:
    """Reads from connections, a block at a time, and hands it to ``on_recv``."""

    def __init__(
        self, loop: Loop, table: ConnectionTable, watch: Watch, settings: Settings
    ) -> None:
        self.on_recv: Callback[[str, bytes]] = Callback()
        self._loop = loop
        self._table = table
        self._watch = watch
        self._settings = settings

    def on_readable(self, conn: LinkSocket, mask: int = READ) -> int:
        """How many bytes were read. The poller calls it for nearly all events, whatever they are:
        hang-ups and errors are told by reading."""
        if not conn.reading:
            return 0  # closed or paused by a callback of another connection in this pass
        size = conn.recv_size
        try:
            data = conn.recv(size)
        except WOULD_BLOCK:
            return 0
        except OSError as exc:
            self._table.ended(conn, exc)
            return 0
        received = len(data)
        if not received:
            self._table.ended(conn, None)
            return 0
        conn.has_received = True
        # The buffer for each read is allocated anew and cut down to what came, so it is larger
        # during bulk transfers only.
        if received >= size < self._settings.recv_block_size:
            conn.recv_size = min(size * 2, self._settings.recv_block_size)
        elif received * 16 < size > RECV_SIZE:
            conn.recv_size = size // 2
        conn_id = conn.conn_id
        for func in self.on_recv.callbacks:  # copy of ConnectionTable.tell(), which takes 0.1 µs
            try:
                func(conn_id, data)
            except Exception:
                _log.exception("a callback raised")
            except BaseException:
                self._table.interrupted(conn)
                raise
        return received

    def pause(self, conn_id: str, reason: object) -> None:
        """See :meth:`LinkInterface.pause_reading`."""
        self._loop.check_process()
        conn = self._table.get(conn_id)
        conn.paused_by |= {reason}
        if conn.reading:
            conn.reading = False
            self._watch.update(conn)

    def resume(self, conn_id: str, reason: object) -> None:
        """See :meth:`LinkInterface.resume_reading`."""
        self._loop.check_process()
        conn = self._table.get(conn_id)
        conn.paused_by -= {reason}
        if conn.paused_by or conn.reading:
            return
        conn.reading = True
        self._watch.update(conn)
        if conn.keeps_bytes:
            self._loop.call_later(0, lambda: self.on_readable(conn))
        self._watch.wake_borrowed_poller()

    def drop_after_reading(self, conn: LinkSocket, reason: str, limit: int = _LAST_WORDS) -> None:
        """Drop a connection behind the last words of its other side.

        What that has sent before it closed is still there, and may be a lot. A block in a pass, and
        an end: it may also have ceased to read and go on sending. While reading is paused there is
        nobody for it.
        """
        size = self.on_readable(conn)
        if 0 < size < limit:
            self._loop.call_later(0, lambda: self.drop_after_reading(conn, reason, limit - size))
        else:
            self._table.drop(conn, reason)
