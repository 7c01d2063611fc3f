"""Hands packets that have arrived to the callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from snakemq._guard import Guard
from snakemq.callbacks import Callback

from ._connection import CLOSED, Connection
from ._split import Packet, join_split


class Deliveries:
    """Hands packets to the callbacks, as a batch and one by one."""

    def __init__(self, guard: Guard[str]) -> None:
        self.on_packet_recv: Callback[[str, bytes]] = Callback()
        self.on_packets_recv: Callback[[str, list[Packet]]] = Callback()
        self.on_part_recv: Callback[[str]] = Callback()
        self.may_be_split = False
        """Was :meth:`Packeter.split_large` called?"""
        self._guard = guard

    def part_came(self, conn: Connection) -> None:
        """Report bytes that complete no packet."""
        try:
            self.on_part_recv(conn.conn_id)
        except Exception as exc:
            self._guard.raised(conn.conn_id, exc)

    def packets_came(self, conn: Connection, packets: list[Packet]) -> None:
        """Deliver packets that have arrived together."""
        for batch_func in self.on_packets_recv.callbacks:
            try:
                batch_func(conn.conn_id, packets)
            except Exception as exc:
                self._guard.raised(conn.conn_id, exc)
        callbacks = self.on_packet_recv.callbacks
        if callbacks:
            if self.may_be_split:
                join_split(packets)
            self._tell_each(conn, callbacks, cast("list[bytes]", packets))

    def _tell_each(
        self,
        conn: Connection,
        callbacks: tuple[Callable[[str, bytes], object], ...],
        packets: list[bytes],
    ) -> None:
        event = self.on_packet_recv
        if len(callbacks) == 1:
            # The hot path of receiving. A call of the event would take twice as long as this.
            conn_id = conn.conn_id
            func = callbacks[0]
            for number, packet in enumerate(packets):
                if conn.phase is CLOSED:
                    return
                if event.callbacks is not callbacks:
                    packets = packets[number:]
                    break
                try:
                    func(conn_id, packet)
                except Exception as exc:
                    self._guard.raised(conn_id, exc)
            else:
                return
        if event.callbacks:
            for packet in packets:
                if conn.phase is CLOSED:
                    return
                self._guard.call(conn.conn_id, event, conn.conn_id, packet)
