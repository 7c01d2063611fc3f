"""A wire on which nothing newer than snakeMQ 1.6 passes."""

from __future__ import annotations

from typing import Any

from snakemq.packeter import Packeter

FIRST_EXTENSION = 16


class OldPacketer(Packeter):
    """Makes a 1.6 peer of the Messaging above it, as far as the wire is concerned: it says nothing
    of features, and hears nothing of those of others."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deliver = self._deliveries.packets_came
        self._deliveries.packets_came = self._hear  # type: ignore[method-assign]

    def send_packet(self, conn_id: str, buf: bytes, *more: bytes) -> int:
        if buf[0] >= FIRST_EXTENSION:
            return 0
        return super().send_packet(conn_id, buf, *more)

    def _hear(self, conn: Any, packets: list[Any]) -> None:
        known = [packet for packet in packets if packet[0] < FIRST_EXTENSION]
        if known:
            self._deliver(conn, known)
