"""Ends connections whose peer's certificate expires."""

from __future__ import annotations

import time
from functools import partial

from snakemq.exceptions import CertificateExpired

from .._loop._loop import Loop
from ._socket import LinkSocket
from ._table import ConnectionTable

wall_clock = time.time
"""The seconds since the epoch, in which certificates count."""

LOOK_AGAIN = 600.0
"""Seconds. The clock of the loop may differ from the calendar: that is set, and goes on while the
machine is suspended. So the calendar is consulted this often."""


def watch(conn: LinkSocket, loop: Loop, table: ConnectionTable) -> None:
    """Drop the connection once the certificate of its peer has expired, which may be at once: a TLS
    session is resumed without looking at it."""
    if conn.expires_at is not None:
        _look(conn, conn.expires_at, loop, table)


def _look(conn: LinkSocket, expires_at: float, loop: Loop, table: ConnectionTable) -> None:
    left = expires_at - wall_clock()
    if left > 0:
        again = partial(_look, conn, expires_at, loop, table)
        conn.deadline = loop.call_later(min(left, LOOK_AGAIN), again)
        return
    date = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(expires_at))
    conn.failure = CertificateExpired(f"the certificate of the other side expired at {date}")
    table.drop(conn, str(conn.failure))
