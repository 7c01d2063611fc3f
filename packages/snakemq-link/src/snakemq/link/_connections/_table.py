"""The connections of a link: which there are, how they are announced, and how they end."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from snakemq.callbacks import Callback

from .. import forks
from .._failures import RefusalsByCallbacks
from .._interface import no_connection
from .._loop._loop import Loop
from .._tls._errors import explained, is_refusal
from ._socket import STABLE_AFTER, Dialler, LinkSocket, Phase
from ._strangers import Strangers

T = TypeVar("T")

_log = logging.getLogger("snakemq.link")


class ConnectionTable:
    """Holds the established connections of a link, whichever side dialled."""

    def __init__(self, loop: Loop, strangers: Strangers) -> None:
        self.on_connect: Callback[[str]] = Callback()
        self.on_disconnect: Callback[[str]] = Callback()
        self.connections: dict[str, LinkSocket] = {}
        self.connection_of: dict[Dialler, LinkSocket] = {}
        self.shaking_hands: dict[str, LinkSocket] = {}
        """The :attr:`connections` whose TLS handshake is not finished, oldest first."""
        self.groups: Counter[str] = Counter()
        """How many incoming connections each group has."""
        self._loop = loop
        self._strangers = strangers
        self._refusals = RefusalsByCallbacks(_log)
        forks.register(self)

    def get(self, conn_id: str) -> LinkSocket:
        """Return a connection. Raises :exc:`~snakemq.exceptions.NoConnection`."""
        try:
            return self.connections[conn_id]
        except KeyError:
            raise no_connection(conn_id) from None

    def count_of(self, group: str) -> int:
        """Return how many connections a group has, or all of them if it is empty."""
        return self.groups[group] if group else len(self.connections)

    def add(self, conn: LinkSocket, group: str) -> None:
        """Add one that is not announced before the handshake. ``group``: what it counts for."""
        self.connections[conn.conn_id] = self.shaking_hands[conn.conn_id] = conn
        if group:
            conn.group = group
            self.groups[group] += 1
        if conn.connector is not None:
            self.connection_of[conn.connector] = conn

    def open(self, conn: LinkSocket) -> None:
        """Mark a connection as ready for use. It still has to be announced."""
        del self.shaking_hands[conn.conn_id]
        conn.phase = Phase.OPEN
        conn.connected_at = self._loop.time()

    def announce(self, conn: LinkSocket) -> None:
        """Call ``on_connect``, and drop the connection if that raises."""
        _log.info("connect %s %r", conn.conn_id, conn.remote_peer)
        if conn.connector is not None:
            conn.connector.connected(conn)
        try:
            self.on_connect.call_while(lambda: conn.phase is Phase.OPEN, conn.conn_id)
        except Exception as exc:
            # It may have been a check, and a connection that nobody has approved must not go on.
            self._refusals.raised(conn.conn_id, exc, self._loop.time())
            self.drop(conn, "a callback of on_connect raised")
        except BaseException:
            self.interrupted(conn)
            raise

    def tell(
        self, conn: LinkSocket, callbacks: Iterable[Callable[[str, T], object]], what: T
    ) -> None:
        """Call callbacks of a connection, and log what they raise.

        One by one, because a call of the event takes as long again as reading a packet.
        """
        conn_id = conn.conn_id
        for func in callbacks:
            try:
                func(conn_id, what)
            except Exception:
                _log.exception("a callback raised")
            except BaseException:
                self.interrupted(conn)
                raise

    def interrupted(self, conn: LinkSocket) -> None:
        """Drop a connection after Ctrl-C in one of its callbacks. Nobody knows how far that got,
        and a loop that is entered again must not go on in the middle of it."""
        self.drop(conn, "interrupted")

    # -- the end

    def ended(self, conn: LinkSocket, exc: OSError | None) -> None:
        """Drop a connection that the other side has closed or broken off."""
        if conn.connector is not None and conn.failure is None and not conn.has_received:
            if exc is not None and is_refusal(exc):
                # With TLS 1.3 a client learns from its first read that its certificate is refused.
                conn.failure = explained(exc, "TLS")
            elif self._loop.time() - conn.connected_at < STABLE_AFTER:
                question = "" if conn.is_tls else ": does it expect TLS?"
                conn.failure = ConnectionError(f"closed by the other side at once{question}")
        self.drop(conn, "by the other side" if exc is None else str(exc))

    def drop(self, conn: LinkSocket, reason: str) -> None:
        """Close a connection, and call ``on_disconnect`` if it was announced."""
        if conn.phase is Phase.CLOSED:
            return
        was_open = conn.phase is Phase.OPEN
        lasted = self._loop.time() - conn.connected_at if was_open else None
        level = logging.INFO if was_open else logging.DEBUG
        _log.log(level, "disconnect %s: %s", conn.conn_id, reason)
        try:
            with contextlib.suppress(KeyError):  # interrupted at the first attempt
                self._loop.poller.unregister(conn.sock.fileno())
            conn.shut()
            self._forget(conn)
            if was_open:
                self._loop.call(self.on_disconnect, conn.conn_id)
        finally:
            # Also after Ctrl-C, or the connector would never dial again; but only once.
            connector = conn.connector
            if connector is None:
                if conn.failure is not None:
                    self._strangers.failed(conn.remote_peer, conn.failure)
            elif self.connection_of.get(connector) is conn:
                del self.connection_of[connector]
                connector.connection_ended(lasted, conn.failure)

    def _forget(self, conn: LinkSocket) -> None:
        self.connections.pop(conn.conn_id, None)
        self.shaking_hands.pop(conn.conn_id, None)
        group, conn.group = conn.group, ""
        if group:
            self.groups[group] -= 1
            if not self.groups[group]:
                del self.groups[group]

    def close_all(self) -> None:
        while self.connections:
            # Taken out here: a drop that Ctrl-C has interrupted is not begun again.
            self.drop(self.connections.popitem()[1], "cleanup")

    def abandon(self) -> None:
        """See :class:`~snakemq.link.forks.Owner`."""
        for conn in list(self.connections.values()):
            conn.abandon()
