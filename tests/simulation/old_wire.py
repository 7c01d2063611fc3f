"""A wire on which nothing newer than snakeMQ 1.6 passes."""

from __future__ import annotations

from typing import Any

from snakemq.packeter import Packeter

FIRST_EXTENSION = 16


class OldPacketer(Packeter):
    """Makes a 1.6 peer of the Messaging above it, as far as the wire is concerned: it says nothing
    of features, and hears nothing of those of others."""

    def send_packet(self, conn_id: str, buf: bytes, *more: bytes) -> int:
        if buf[0] >= FIRST_EXTENSION:
            return 0
        return super().send_packet(conn_id, buf, *more)

    def _packets_received(self, conn: Any, packets: list[bytes]) -> None:
        known = [packet for packet in packets if packet[0] < FIRST_EXTENSION]
        if known:
            super()._packets_received(conn, known)
