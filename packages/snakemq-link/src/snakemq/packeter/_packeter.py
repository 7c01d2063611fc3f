"""Packets over the connections of a link."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import TypeVar

from snakemq.callbacks import Callback
from snakemq.exceptions import NoConnection, SnakeMQBrokenPacket, SnakeMQMessageTooLarge
from snakemq.link import LinkInterface

from ._framing import BLOCK_SIZE, FORMAT_LIMIT, PacketReader, PacketWriter

T = TypeVar("T")

MAX_PACKET_SIZE = 1024 * 1024 * 1024
"""Size in bytes of the largest packet that is taken from a peer. The format allows 4 GiB, which
nobody means to send; memory follows what has arrived, so this bounds one connection, at most."""


class _Connection:
    __slots__ = ("closed", "conn_id", "dirty", "reader", "sending", "unreported", "writer")

    def __init__(self, conn_id: str, max_packet_size: int) -> None:
        self.conn_id = conn_id
        self.reader = PacketReader(max_packet_size)
        self.writer = PacketWriter()
        self.sending = False  # a send of the link is not reported yet
        self.dirty = False  # is to be flushed at the end of the pass
        self.closed = False
        # ids for on_packet_sent, kept only while somebody listens to it
        self.unreported: deque[int] = deque()


class Packeter:
    """Sends and receives packets: byte strings whose boundaries are kept.

    Not thread-safe: use it in the callbacks of the loop, or while no loop runs.

    ``max_packet_size``: limit for packets that are received, in bytes. A peer that announces
    a larger one is disconnected and reported by ``on_error``.
    """

    __module__ = "snakemq.packeter"

    def __init__(self, link: LinkInterface, *, max_packet_size: int = MAX_PACKET_SIZE) -> None:
        if not 0 < max_packet_size <= FORMAT_LIMIT:
            raise ValueError(f"max_packet_size must be 1 to {FORMAT_LIMIT}, not {max_packet_size}")
        self.link = link
        self.log = logging.getLogger("snakemq.packeter")
        self.max_packet_size = max_packet_size
        """For connections that are made from now on, in bytes."""

        self.on_connect: Callback[[str]] = Callback()
        """``func(conn_id)``"""
        self.on_disconnect: Callback[[str]] = Callback()
        """``func(conn_id)``"""
        self.on_packet_recv: Callback[[str, bytes]] = Callback()
        """``func(conn_id, packet)``"""
        self.on_packet_sent: Callback[[str, int]] = Callback()
        """``func(conn_id, packet_id)``: the system took over the last byte of the packet. That it
        arrived is another matter."""
        self.on_packet_send = self.on_packet_sent
        """The name that the documentation of 1.6 has for :attr:`on_packet_sent`."""
        self.on_error: Callback[[str, Exception]] = Callback()
        """``func(conn_id, exception)``: the peer broke the rules, and its connection is closed
        after this call; or a callback of ``on_packet_recv`` or ``on_packet_sent`` raised, or the
        link refused to send now, and nothing else happens."""

        # The same events a batch at a time, for layers above that handle many small packets.
        self.on_packets_recv: Callback[[str, list[bytes]]] = Callback()
        """``func(conn_id, packets)``: packets that arrived together, in their order. Who closes
        the connection in this call gets no more, and has to disregard the rest of the list."""
        self.on_packets_sent: Callback[[str, int]] = Callback()
        """``func(conn_id, packet_id)``: that packet and all that were queued for the same
        connection before it are sent."""

        self._connections: dict[str, _Connection] = {}
        self._last_packet_id = 0
        self._dirty: list[_Connection] = []

        link.on_connect.add(self._on_connect)
        link.on_disconnect.add(self._on_disconnect)
        link.on_recv.add(self._on_recv)
        link.on_ready_to_send.add(self._on_ready_to_send)
        link.on_loop_pass.add(self._on_loop_pass)

    def send_packet(self, conn_id: str, buf: bytes, *more: bytes) -> int:
        """Queue a packet; it is sent at the end of this pass of the loop at the latest.

        A packet can be given in several parts, which saves joining them.

        Returns the id of the packet, see ``on_packet_sent``. Raises
        :exc:`~snakemq.exceptions.NoConnection`, ``TypeError`` for anything but bytes and
        :exc:`~snakemq.exceptions.SnakeMQMessageTooLarge` (a ``ValueError``) for 4 GiB and more.
        """
        conn = self._get(conn_id)
        parts = (buf, *more)
        size = 0
        for part in parts:
            if not isinstance(part, bytes):
                raise TypeError(f"a packet must be bytes, not {type(part).__name__}")
            size += len(part)
        if size > FORMAT_LIMIT:
            raise SnakeMQMessageTooLarge(f"a packet of {size} bytes; the format ends at 4 GiB")
        self._last_packet_id = packet_id = self._last_packet_id + 1
        conn.writer.add(packet_id, parts, size)
        self._queued(conn, packet_id, 1)
        return packet_id

    def send_framed(self, conn_id: str, parts: Sequence[bytes], sizes: Sequence[int]) -> int:
        """Queue many packets at once which begin with their size (4 bytes, network order) already.

        For a layer above that packs its own header and that of the packet with one struct; nothing
        is checked. ``parts``: the buffers of all packets in their order, a packet may have several.
        ``sizes``: the length of each packet in them, its first 4 bytes included.

        Returns the id of the first packet; the others have the ids that follow. Raises
        :exc:`~snakemq.exceptions.NoConnection`.
        """
        conn = self._get(conn_id)
        first_id = self._last_packet_id + 1
        self._last_packet_id += len(sizes)
        conn.writer.add_framed(first_id, parts, sizes)
        self._queued(conn, first_id, len(sizes))
        return first_id

    def _queued(self, conn: _Connection, first_id: int, count: int) -> None:
        if self.on_packet_sent.callbacks:
            conn.unreported.extend(range(first_id, first_id + count))
        if not conn.sending:
            if conn.writer.size >= BLOCK_SIZE:
                self._send(conn)
            elif not conn.dirty:
                conn.dirty = True
                self._dirty.append(conn)
                self.link.wakeup_poll()

    def flush(self, conn_id: str) -> None:
        """Begin to send what is queued for a connection now, not at the end of the pass.

        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """
        self._send(self._get(conn_id))

    def get_unsent_size(self, conn_id: str) -> int:
        """Bytes that are queued for a connection and not taken over by the system yet.

        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """
        return self._get(conn_id).writer.size

    def set_max_packet_size(self, conn_id: str, size: int) -> None:
        """Change the limit of one connection, in bytes; effective from the next packet on.

        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """
        self._get(conn_id).reader.max_size = size

    def _get(self, conn_id: str) -> _Connection:
        try:
            return self._connections[conn_id]
        except KeyError:
            raise NoConnection(f"there is no connection {conn_id!r} (any more)") from None

    def _on_connect(self, conn_id: str) -> None:
        conn = self._connections[conn_id] = _Connection(conn_id, self.max_packet_size)
        self.on_connect.call_while(lambda: not conn.closed, conn_id)

    def _on_disconnect(self, conn_id: str) -> None:
        conn = self._connections.pop(conn_id, None)
        if conn is None:
            return  # older than this packeter
        conn.closed = True
        self.on_disconnect(conn_id)

    def _on_recv(self, conn_id: str, data: bytes) -> None:
        conn = self._connections.get(conn_id)
        if conn is None:
            return  # an earlier callable of on_recv closed it
        try:
            conn.reader.feed(data)
            while packets := conn.reader.read():
                self._packets_received(conn, packets)
                if conn.closed:
                    return
        except (SnakeMQBrokenPacket, MemoryError) as exc:
            # A packet within the limit may be too large for this machine; what follows it could
            # not be understood without it.
            self.log.error("conn=%s %r", conn_id, exc)
            self._report(conn_id, exc)
            if not conn.closed:
                self.link.close(conn_id)

    def _packets_received(self, conn: _Connection, packets: list[bytes]) -> None:
        if self.on_packets_recv.callbacks:
            self._tell(self.on_packets_recv, conn.conn_id, packets)
        if self.on_packet_recv.callbacks:
            for packet in packets:
                if conn.closed:
                    return
                self._tell(self.on_packet_recv, conn.conn_id, packet)

    def _tell(self, event: Callback[[str, T]], conn_id: str, what: T) -> None:
        try:
            event(conn_id, what)
        except Exception as exc:
            self._callback_raised(conn_id, exc)

    def _callback_raised(self, conn_id: str, exc: Exception) -> None:
        self.log.error("conn=%s a callback raised", conn_id, exc_info=exc)
        self._report(conn_id, exc)

    def _report(self, conn_id: str, exc: Exception) -> None:
        try:
            self.on_error(conn_id, exc)
        except Exception:
            self.log.exception("a callback of on_error raised")

    def _on_ready_to_send(self, conn_id: str, sent: int) -> None:
        conn = self._connections.get(conn_id)
        if conn is None:
            return
        if conn.sending:  # else somebody else has sent on this connection
            conn.sending = False
            last_id = conn.writer.sent(sent)
            if last_id is not None:
                # Before more is sent, because those who listen may have more to send, and larger
                # blocks mean fewer system calls.
                self._packets_sent(conn, last_id)
        self._send(conn)

    def _packets_sent(self, conn: _Connection, last_id: int) -> None:
        self._tell(self.on_packets_sent, conn.conn_id, last_id)
        unreported = conn.unreported
        while unreported and unreported[0] <= last_id and not conn.closed:
            self._tell(self.on_packet_sent, conn.conn_id, unreported.popleft())

    def _on_loop_pass(self) -> None:
        if self._dirty:
            for conn in self._dirty:
                conn.dirty = False
                try:
                    self._send(conn)
                except Exception as exc:
                    self.log.error("conn=%s cannot send: %r", conn.conn_id, exc)
                    self._report(conn.conn_id, exc)
            self._dirty.clear()  # at last: Ctrl-C in between is to leave nobody behind

    def _send(self, conn: _Connection) -> None:
        if conn.sending or conn.closed:
            return
        block = conn.writer.next_block()
        if block:
            conn.sending = True
            try:
                self.link.send(conn.conn_id, block)
            except Exception:
                conn.sending = False  # it will not be reported; the block is the next one again
                raise
