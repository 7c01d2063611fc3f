"""Packets over the connections of a link."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from snakemq._guard import Guard
from snakemq._settings import Setting, whole
from snakemq.callbacks import Callback, Event
from snakemq.exceptions import (
    SnakeMQBrokenPacket,
    SnakeMQMessageTooLarge,
)
from snakemq.link import Abilities, LinkInterface, no_connection
from snakemq.link._failures import RefusalsByCallbacks

from ._connection import CLOSED, OPEN, Connection
from ._deliveries import Deliveries
from ._framing import FORMAT_LIMIT
from ._sending import Sending
from ._split import Packet
from ._unfinished import MAX_UNFINISHED_BYTES, Unfinished

MAX_PACKET_SIZE = 1024 * 1024 * 1024
"""Size in bytes of the largest packet that is taken from a peer. The format allows 4 GiB, which
nobody means to send. Memory follows what has arrived, so this only bounds one connection."""


class Packeter:
    """Sends and receives packets: byte strings whose boundaries are kept.

    Not thread-safe: use it in the callbacks of the loop, or while no loop runs.

    Settings are attributes too:

    - ``max_packet_size``: the largest packet that is received, in bytes. A peer that announces a
      larger one is disconnected and reported by ``on_error``. A change is for connections that are
      made from then on.
    - ``max_unfinished_bytes``: the most bytes of incomplete packets, of all connections together.

    When half of ``max_unfinished_bytes`` is used, a large packet goes on only if there is room for
    the rest of it, but one packet always goes on. Other connections with more than 64 KiB of a
    packet are not read until there is room. A peer that keeps others waiting, and brings less than
    10 KiB a second for 10 seconds, is disconnected and reported by ``on_error``. So unfinished
    packets hold at most ``max_unfinished_bytes``, one packet of the largest size, and 64 KiB and
    one block of the link for each connection.

    After :meth:`LinkInterface.pause_reading`, packets that came in the same piece of data are still
    delivered: the link had read them already.
    """

    max_packet_size: Setting[int] = Setting(whole(1, FORMAT_LIMIT))
    max_unfinished_bytes: Setting[int] = Setting(whole(1))

    on_connect: Event[[str]] = Event()
    """``func(conn_id)``. If a callback raises, the connection is closed before anything is sent
    that was queued for it."""
    on_disconnect: Event[[str]] = Event()
    """``func(conn_id)``"""
    on_packet_recv: Event[[str, bytes]] = Event()
    """``func(conn_id, packet)``"""
    on_packet_sent: Event[[str, int]] = Event()
    """``func(conn_id, packet_id)``: the system took over the last byte of the packet, which may
    not have arrived yet."""
    on_packet_send: Event[[str, int]] = Event()
    """The name that the documentation of 1.6 has for :attr:`on_packet_sent`."""
    on_error: Event[[str, Exception]] = Event()
    """``func(conn_id, exception)``: the peer broke the rules, and its connection is closed
    after this call; or a callback of ``on_packet_recv`` or ``on_packet_sent`` raised, or the
    link refused to send now, and nothing else happens."""

    on_part_recv: Event[[str]] = Event()
    """``func(conn_id)``: bytes have arrived that complete no packet."""

    # The same events a batch at a time, for layers above that handle many small packets.
    on_packets_recv: Event[[str, list[Packet]]] = Event()
    """``func(conn_id, packets)``: packets that arrived together, in their order. A callback
    that closes the connection gets no more, and has to ignore the rest of the list. All are
    bytes, unless :meth:`split_large` was called."""
    on_packets_sent: Event[[str, int]] = Event()
    """``func(conn_id, packet_id)``: that packet and all that were queued for the same
    connection before it are sent. Not called for a packet that :meth:`send_framed_at_once` has
    reported as sent."""

    def __init__(
        self,
        link: LinkInterface,
        *,
        max_packet_size: int = MAX_PACKET_SIZE,
        max_unfinished_bytes: int = MAX_UNFINISHED_BYTES,
    ) -> None:
        self.link = link
        self.log: logging.Logger = logging.getLogger("snakemq.packeter")
        self.max_packet_size = max_packet_size
        self.max_unfinished_bytes = max_unfinished_bytes

        guard: Guard[str] = Guard(self.log)
        self._guard = guard
        self._deliveries = deliveries = Deliveries(guard)
        self._sending = sending = Sending(link, guard, self.log)
        self.on_connect = Callback()
        self.on_disconnect = Callback()
        self.on_packet_recv = deliveries.on_packet_recv
        self.on_packets_recv = deliveries.on_packets_recv
        self.on_part_recv = deliveries.on_part_recv
        self.on_packet_sent = self.on_packet_send = sending.on_packet_sent
        self.on_packets_sent = sending.on_packets_sent
        self.on_error = guard.on_error

        self._report_failure = Abilities(link).report_failure
        self._refusals = RefusalsByCallbacks(self.log)
        self._connections: dict[str, Connection] = {}
        self._last_packet_id = 0
        self._head_size = 0
        self._unfinished = Unfinished(link, self, self._give_up)

        link.on_connect.add_internal(self._on_connect)
        link.on_disconnect.add_internal(self._on_disconnect)
        link.on_recv.add_internal(self._on_recv)
        link.on_ready_to_send.add_internal(self._on_ready_to_send)
        # Before any layer above joins it, see LinkInterface.on_loop_pass.
        link.on_loop_pass.add_internal(sending.on_loop_pass)

    def send_packet(self, conn_id: str, buf: bytes, *more: bytes) -> int:
        """Queue a packet; it is sent at the end of this pass of the loop at the latest.

        A packet can be given in several parts, which saves joining them.

        Returns the id of the packet, see ``on_packet_sent``. Raises
        :exc:`~snakemq.exceptions.NoConnection`, ``TypeError`` for anything but bytes and
        :exc:`~snakemq.exceptions.SnakeMQMessageTooLarge` (a ``ValueError``) for 4 GiB and more.
        """
        # The hot path of sending: whatever can be done once for a block, or at the end of the pass,
        # is done there.
        try:
            conn = self._connections[conn_id]
        except KeyError:
            raise no_connection(conn_id) from None
        if more or type(buf) is not bytes or len(buf) > FORMAT_LIMIT:
            size = _checked_size(buf, *more)
            self._last_packet_id = packet_id = self._last_packet_id + 1
            is_full = conn.writer.add_parts(packet_id, (buf, *more), size)
        else:
            self._last_packet_id = packet_id = self._last_packet_id + 1
            is_full = conn.writer.add(packet_id, buf)
        if not conn.is_queued:
            self._sending.look_later(conn)
        if is_full:
            self._sending.send(conn, reports_itself=True)
        return packet_id

    def send_framed(
        self, conn_id: str, parts: Sequence[bytes | memoryview], sizes: Sequence[int]
    ) -> int:
        """Queue packets that already begin with their size (4 bytes, network order).

        For a layer above that packs its own header and that of the packet with one struct; nothing
        is checked. ``parts``: the buffers of all packets in their order; a packet may have several.
        ``sizes``: the length of each packet in them, including its first 4 bytes.

        Returns the id of the first packet; the others have the ids that follow. Raises
        :exc:`~snakemq.exceptions.NoConnection`.
        """
        conn = self._get(conn_id)
        first_id = self._last_packet_id + 1
        self._last_packet_id += len(sizes)
        conn.writer.add_framed(first_id, parts, sizes)
        if not conn.is_queued:
            self._sending.look_later(conn)
        return first_id

    def send_framed_at_once(self, conn_id: str, packet: bytes) -> tuple[int, bool] | None:
        """Send one packet, which already begins with its size, at once.

        It is like :meth:`send_framed` and :meth:`flush` for a single packet, at less than half of
        the cost: for an answer that somebody waits for.

        Returns the id of the packet, and whether the system has taken it over; if so, no event
        reports it. Returns ``None`` and sends nothing if something else waits to be sent or
        reported, if ``on_packet_sent`` has callbacks, or if the link cannot do it. Raises
        :exc:`~snakemq.exceptions.NoConnection`.
        """
        conn = self._get(conn_id)
        at_once = self._sending.at_once
        if (
            at_once is None
            or conn.is_sending
            or conn.phase is not OPEN
            or conn.unreported
            or conn.writer.size
            or self.on_packet_sent.callbacks
        ):
            return None
        self._last_packet_id = packet_id = self._last_packet_id + 1
        if at_once(conn_id, packet):
            conn.writer.total_sent += len(packet)
            return packet_id, True
        conn.writer.begin_block(packet_id, packet)
        conn.is_sending = True
        return packet_id, False

    def flush(self, conn_id: str) -> None:
        """Begin to send what is queued for a connection now, not at the end of the pass.

        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """
        self._sending.send(self._get(conn_id))

    def stop_sending(self, conn_id: str) -> None:
        """Send nothing more on a connection that is about to be closed.

        For a sender that was interrupted and cannot close it at once: what is sent now might end up
        in the middle of something. Raises :exc:`~snakemq.exceptions.NoConnection`.
        """
        self._get(conn_id).phase = CLOSED

    def get_unsent_size(self, conn_id: str) -> int:
        """Return how many bytes are queued for a connection and not taken over by the system yet.

        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """
        return self._get(conn_id).writer.size

    @property
    def unfinished_bytes(self) -> int:
        """How many bytes of incomplete packets have arrived on all connections, with those that a
        layer above counts, see :meth:`count_unfinished`."""
        return self._unfinished.size

    def count_unfinished(self, conn_id: str, held: int, missing: int) -> None:
        """Count what a layer above puts together from several packets like an unfinished packet.

        ``held``: bytes of all that a connection has begun and not finished; ``missing``: bytes that
        are still to come. Call it in ``on_packets_recv``. Raises
        :exc:`~snakemq.exceptions.NoConnection`.
        """
        conn = self._get(conn_id)
        conn.held_above = held
        conn.missing_above = missing

    def get_progress(self, conn_id: str) -> tuple[int, int]:
        """Return how many bytes the system has taken over for a connection since it was made, and
        how many are queued behind them.

        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """
        writer = self._get(conn_id).writer
        return writer.total_sent, writer.size

    def set_max_packet_size(self, conn_id: str, size: int) -> None:
        """Change the limit of one connection, in bytes; effective from the next packet on.

        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """
        self._get(conn_id).reader.max_size = size

    def split_large(self, head_size: int) -> None:
        """Hand out large packets with their first ``head_size`` bytes, at most 64 KiB, apart.

        For a layer above that has a header of this length. On connections made from now on,
        ``on_packets_recv`` gets large packets as :class:`SplitPacket`, which saves it a copy of
        what follows the header: for 1 MiB, the copy takes as long as all the rest.
        ``on_packet_recv`` still gets bytes.
        """
        self._head_size = head_size
        self._deliveries.may_be_split = head_size > 0

    def _get(self, conn_id: str) -> Connection:
        try:
            return self._connections[conn_id]
        except KeyError:
            raise no_connection(conn_id) from None

    def _on_connect(self, conn_id: str) -> None:
        conn = self._connections[conn_id] = Connection(
            conn_id, self.max_packet_size, self._head_size
        )
        try:
            self.on_connect.call_while(lambda: conn.phase is not CLOSED, conn_id)
        except Exception as exc:
            self._refusals.raised(conn_id, exc, self.link.time())
            self._guard.report(conn_id, exc)
            if conn.phase is not CLOSED:  # nobody has approved it, see LinkInterface.on_connect
                self.link.close(conn_id)

    def _on_disconnect(self, conn_id: str) -> None:
        conn = self._connections.get(conn_id)
        if conn is None:
            return  # older than this packeter
        self._sending.end(conn)
        del self._connections[conn_id]
        if conn.unfinished:
            self._unfinished.gone(conn_id, conn.unfinished)
        self.on_disconnect(conn_id)

    def _on_recv(self, conn_id: str, data: bytes) -> None:
        conn = self._connections.get(conn_id)
        if conn is None:
            return  # an earlier callable of on_recv closed it
        reader = conn.reader
        try:
            packets = reader.receive(data)
            if not packets:
                self._deliveries.part_came(conn)
            while packets:
                self._deliveries.packets_came(conn, packets)
                if conn.phase is CLOSED or not reader.has_more:
                    break
                packets = reader.read()
            unfinished = reader.unfinished + conn.held_above
            if unfinished != conn.unfinished and conn.phase is not CLOSED:
                before, conn.unfinished = conn.unfinished, unfinished
                self._unfinished.changed(
                    conn_id, before, unfinished, reader.missing + conn.missing_above
                )
        except (SnakeMQBrokenPacket, MemoryError) as exc:
            # A packet within the limit may be too large for this machine; what follows it could
            # not be understood without it.
            self._give_up(conn_id, exc)

    def _give_up(self, conn_id: str, exc: Exception) -> None:
        """Close a connection whose peer breaks the rules, or keeps others waiting."""
        if self._report_failure is None:
            self.log.error("conn=%s %r", conn_id, exc)
        else:
            self._report_failure(conn_id, exc)
        self._guard.report(conn_id, exc)
        if conn_id in self._connections:
            self.link.close(conn_id)

    def _on_ready_to_send(self, conn_id: str, sent: int) -> None:
        conn = self._connections.get(conn_id)
        if conn is not None and conn.phase is OPEN:
            self._sending.on_ready_to_send(conn, sent)


def _checked_size(*parts: bytes) -> int:
    """Return the size of a packet. Raises ``TypeError`` and ``SnakeMQMessageTooLarge``."""
    size = 0
    for part in parts:
        if not isinstance(part, bytes):
            raise TypeError(f"a packet must be bytes, not {type(part).__name__}")
        size += len(part)
    if size > FORMAT_LIMIT:
        raise SnakeMQMessageTooLarge(
            f"a packet of {size} bytes is too large: the format allows {FORMAT_LIMIT}"
        )
    return size
