"""Decides whether one more connection may come in."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from snakemq.callbacks import Callback

from .._loop._loop import Loop
from ._strangers import Strangers
from ._table import ConnectionTable

if TYPE_CHECKING:
    from .._settings import Settings

MAX_CONNECTIONS = 16 * 1024
"""Connections of one link: bounds what strangers can make it hold, far above usual needs."""

MAX_CONNECTIONS_PER_ADDRESS = 0.5
"""The fraction of all connections that may come from one address, so no host can take them all."""

FEW_CONNECTIONS = 64
"""This many connections may always come from one address: a small limit was set on purpose."""

_RESERVE = 32
_RESERVED_PART = 0.1
"""Descriptors that connections from outside may not use: a tenth, 32 at least. The connectors of
this process need some, and so do its storages and its other files."""

_IN_VAIN = 0.1
"""Seconds until the layers above are asked again for a connection to close, if they had none."""


class Admission:
    """Admits or refuses connections that come in."""

    def __init__(
        self, loop: Loop, table: ConnectionTable, strangers: Strangers, settings: Settings
    ) -> None:
        self.on_crowded: Callback[[Callable[[str], bool]]] = Callback()
        self._loop = loop
        self._table = table
        self._strangers = strangers
        self._settings = settings
        self._in_vain: set[str] = set()  # groups in which no room could be made lately
        self._in_vain_until = 0.0

    def admits(self, sock: socket.socket, remote_peer: object, group: str) -> bool:
        """Return True if a newcomer may stay; else close its socket.

        If there is no room, ask the layers above to make some.
        """
        is_admitted = False
        try:
            is_admitted = self._has_room(sock, remote_peer, group)
        finally:
            if not is_admitted:  # or Ctrl-C came while it was asked
                sock.close()
        return is_admitted

    def _has_room(self, sock: socket.socket, remote_peer: object, group: str) -> bool:
        full = self._what_is_full(sock, group)
        if full is None:
            return True
        reason, full_group = full
        if self._make_room(full_group):
            return True
        self._strangers.failed(remote_peer, ConnectionError(reason), "connection from {!r} refused")
        return False

    def out_of_resources(self, address: object, exc: OSError, pause: float) -> None:
        """Make room, or report that the system has no resources to accept a connection with."""
        if not self._make_room(""):
            self._strangers.failed(address, exc, f"cannot accept on {{!r}} for {pause:g} s")

    def _what_is_full(self, sock: socket.socket, group: str) -> tuple[str, str] | None:
        """Return the reason, and the group in which a connection has to go; empty: any."""
        most = self._settings.max_connections
        descriptors = _descriptors()
        if descriptors is not None:
            reserve = max(_RESERVE, int(descriptors * _RESERVED_PART))
            usable = descriptors - reserve
            # The system gives out the lowest free number, so all below it are in use: by this link,
            # by others and by files. Knowing that costs nothing.
            if sock.fileno() >= usable:
                return f"only {reserve} of {descriptors} file descriptors are left (ulimit -n)", ""
            most = min(most, usable)
        if len(self._table.connections) >= self._settings.max_connections:
            return f"max_connections is reached: {self._settings.max_connections}", ""
        share = self._settings.max_connections_per_address
        if share is None or not group:
            return None
        if isinstance(share, float):
            share = max(FEW_CONNECTIONS, int(most * share))
        if self._table.groups[group] >= share:
            return f"max_connections_per_address is reached: {share} from {group}", group
        return None

    def _make_room(self, group: str) -> bool:
        """Have an incoming connection of this group, or of any if it is empty, closed.

        Returns True if one was closed.
        """
        now = self._loop.time()
        if now >= self._in_vain_until:
            self._in_vain.clear()
            self._in_vain_until = now + _IN_VAIN
        elif group in self._in_vain:
            return False
        connections = self._table.connections

        def would_help(conn_id: str) -> bool:
            conn = connections.get(conn_id)
            return conn is not None and not conn.is_connector and group in ("", conn.group)

        for conn in self._table.shaking_hands.values():
            if would_help(conn.conn_id):
                self._table.drop(conn, "a newcomer needs its place; TLS handshake not finished")
                return True
        before = self._table.count_of(group)
        self._loop.call(self.on_crowded, would_help)
        if self._table.count_of(group) < before:
            return True
        self._in_vain.add(group)
        return False


def group_of(remote_peer: object) -> str:
    """Return the group that a connection is counted in: its IPv4 address, or its IPv6 /64 network,
    because each host has a whole one. Empty for Unix sockets: the permissions of the file decide
    who may dial them."""
    if not isinstance(remote_peer, tuple) or not remote_peer:
        return ""
    host = str(remote_peer[0])
    if ":" not in host:
        return host
    network = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8]
    return socket.inet_ntop(socket.AF_INET6, network + bytes(8)) + "/64"


def _descriptors() -> int | None:
    """Return how many this process may have; ``None`` if that is unknown or unlimited."""
    try:
        import resource  # not on Windows; and only a listener needs it
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
