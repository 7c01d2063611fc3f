"""Makes announced connections of connected sockets: their options, and the TLS handshake."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from .._loop._loop import Loop
from .._loop._poller import READ, WRITE
from .._tls._errors import explained
from . import _tcp
from ._receiving import Receiving
from ._sending import Sending
from ._socket import Dialler, LinkSocket, Phase
from ._strangers import Strangers
from ._table import ConnectionTable
from ._watch import Watch

if TYPE_CHECKING:
    from .._settings import Settings
    from .._tls._config import SSLConfig


class Adoption:
    """Makes connections of the sockets that listeners and connectors bring."""

    def __init__(
        self,
        loop: Loop,
        table: ConnectionTable,
        watch: Watch,
        receiving: Receiving,
        sending: Sending,
        strangers: Strangers,
        settings: Settings,
    ) -> None:
        self._loop = loop
        self._table = table
        self._watch = watch
        self._receiving = receiving
        self._sending = sending
        self._strangers = strangers
        self._settings = settings
        self._last_conn_number = 0

    def adopt(
        self,
        sock: socket.socket,
        remote_peer: object,
        ssl_config: SSLConfig | None,
        connector: Dialler | None = None,
        group: str = "",
    ) -> None:
        """Make a connection of a socket. ``group``: what an incoming one is counted with."""
        sock.setblocking(False)
        if sock.family != getattr(socket, "AF_UNIX", None):
            _tcp.prepare(sock, self._settings.tcp_keepalive)
        make: Callable[..., LinkSocket] = LinkSocket
        if ssl_config is not None:
            from ._tls_socket import TLSLinkSocket  # imports ssl, see _tls

            try:
                terms = ssl_config.current_terms(server_side=connector is None)
                make = partial(TLSLinkSocket, terms=terms)
                sock.getpeername()  # wrap_socket() forgets to close one that was reset
                sock = terms.context.wrap_socket(
                    sock,
                    server_side=connector is None,
                    do_handshake_on_connect=False,
                    server_hostname=None if connector is None else connector.server_hostname,
                )
            except Exception as exc:  # OSError, ValueError, and TypeError for some host names
                sock.close()
                failure = explained(exc, "TLS handshake")
                if connector is not None:
                    connector.connection_ended(None, failure)
                else:
                    self._strangers.failed(remote_peer, failure)
                return
        self._last_conn_number += 1
        conn = make(sock, f"{self._last_conn_number}fd{sock.fileno()}", remote_peer, connector)
        conn.recv_size = min(conn.recv_size, self._settings.recv_block_size)
        conn.on_readable = partial(self._receiving.on_readable, conn)
        conn.on_io = partial(self._on_io, conn)
        self._table.add(conn, group)
        if ssl_config is None:
            self._table.open(conn)
            self._watch.begin(conn)
            self._table.announce(conn)
        else:
            self._watch.update(conn)
            conn.deadline = self._loop.call_later(
                self._settings.handshake_timeout, lambda: self._handshake_timed_out(conn)
            )
            self._shake_hands(conn)

    def _on_io(self, conn: LinkSocket, mask: int) -> None:
        """Handle events of a connection that waits for more than input."""
        # It may have been closed by a callback of another connection in this pass.
        if conn.phase is Phase.SHAKING_HANDS:
            self._shake_hands(conn)
            return
        if mask & ~READ and conn.phase is Phase.OPEN:
            self._sending.on_writable(conn)
        if mask & ~WRITE and conn.phase is Phase.OPEN:
            self._receiving.on_readable(conn)

    def _shake_hands(self, conn: LinkSocket) -> None:
        from . import _expiry

        try:
            event = conn.shake_hands()
        except (OSError, ValueError) as exc:  # ValueError: closed below us before it began
            conn.failure = explained(exc, "TLS handshake")
            self._table.drop(conn, "TLS handshake failed")
            return
        if event:
            self._watch.want_write(conn, event == WRITE)
            return
        if conn.deadline is not None:
            conn.deadline.cancel()
        _expiry.watch(conn, self._loop, self._table)
        if conn.phase is Phase.CLOSED:
            return
        self._table.open(conn)
        self._watch.begin(conn)
        self._table.announce(conn)
        if conn.phase is Phase.OPEN:
            # The first bytes may have come along with the end of the handshake: TLS has them and
            # the poller knows nothing of them.
            self._receiving.on_readable(conn)

    def _handshake_timed_out(self, conn: LinkSocket) -> None:
        timeout = self._settings.handshake_timeout
        conn.failure = TimeoutError(f"TLS handshake: no answer in {timeout:g} s")
        self._table.drop(conn, "TLS handshake failed")
