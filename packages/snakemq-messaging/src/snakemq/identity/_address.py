"""The address of the other end of a connection, for people."""

from __future__ import annotations

import os

from snakemq.exceptions._text import printable
from snakemq.link import PeerCredentials


def address_of(connection: PeerCredentials) -> str:
    """Return where a peer is: ``"192.0.2.1:40312"``, ``"[2001:db8::1]:40312"``, or for a Unix
    socket ``"unix, user 1000"`` or ``"unix:/run/bob.sock, user 1000"``; empty if that is unknown.
    """
    address = connection.address
    if isinstance(address, tuple):
        host, port = str(address[0]), address[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not isinstance(address, (str, bytes)):
        return ""
    path = printable(os.fsdecode(address))
    user = f", user {connection.unix.uid}" if connection.unix is not None else ""
    return f"unix:{path}{user}" if path else f"unix{user}"
