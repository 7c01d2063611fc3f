"""One connection of a link."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._dialling._connector import Connector
    from .._interface import BytesLike
    from .._loop._timers import Timer

WOULD_BLOCK = (BlockingIOError, InterruptedError)

RECV_SIZE = 64 * 1024
"""How much is read at a time from a connection on which not much comes in, in bytes."""


class LinkSocket:
    """A connected socket. Users get it from :meth:`snakemq.link.Link.get_socket_by_conn`."""

    __slots__ = (
        "closed",
        "conn_id",
        "connected_at",
        "connector",
        "failure",
        "group",
        "handshake_deadline",
        "has_received",
        "paused_by",
        "reading",
        "recv",
        "recv_size",
        "remote_peer",
        "send",
        "send_pending",
        "sock",
        "want_write",
    )

    keeps_bytes = False
    """May it have received bytes that the poller knows nothing of?"""

    def __init__(
        self, sock: socket.socket, conn_id: str, remote_peer: object, connector: Connector | None
    ) -> None:
        self.sock: socket.socket = sock
        self.conn_id: str = conn_id
        self.remote_peer: object = remote_peer
        """The address of the other side, as the socket module gives it."""
        self.connector: Connector | None = connector
        self.group: str = ""
        """Which connections that came in it is counted with, see :mod:`._admission`."""
        self.closed: bool = False
        self.reading: bool = True
        """False: it is closed, or reading is paused. One flag for both, as each event asks."""
        self.paused_by: frozenset[object] = frozenset()
        """The reasons for which reading is paused."""
        self.failure: Exception | None = None
        """Why it is of no use and will be closed soon; its connector does not count it as well."""
        self.has_received: bool = False
        self.connected_at: float | None = None  # None: the TLS handshake is not finished
        self.handshake_deadline: Timer | None = None

        self.recv: Callable[[int], bytes] = sock.recv
        """About so many bytes at most; empty at the end. Raises ``OSError``."""
        self.send: Callable[[BytesLike], int] = sock.send
        """How many bytes the system took, at least one. Raises ``OSError``; after one of
        :data:`WOULD_BLOCK` the same data has to be given again."""
        self.recv_size: int = RECV_SIZE
        # A send that is not reported yet: its data while none of it could be sent, the count
        # of bytes that were.
        self.send_pending: BytesLike | int | None = None
        self.want_write: bool = False

    @property
    def is_tls(self) -> bool:
        return False

    @property
    def is_connector(self) -> bool:
        """Did this side dial?"""
        return self.connector is not None

    def fileno(self) -> int:
        return self.sock.fileno()

    def getpeercert(self, binary_form: bool = False) -> dict[str, Any] | bytes | None:
        """The certificate of the other side, see :meth:`ssl.SSLSocket.getpeercert`.

        ``None`` without TLS or when the other side has none. Without ``CERT_REQUIRED`` or
        ``CERT_OPTIONAL`` only the binary form is there; the dictionary is empty.
        """
        return None

    def shake_hands(self) -> int:
        """Go on with the TLS handshake. Returns which event it waits for, 0 when it is done.

        Raises ``OSError`` and ``ValueError``.
        """
        return 0

    def shut(self) -> None:
        self.closed = True
        self.reading = False
        if self.handshake_deadline is not None:
            self.handshake_deadline.cancel()
        # Already reset or never connected: there is nothing to shut down.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        self.sock.close()
        self.recv, self.send = self.sock.recv, self.sock.send  # so that this is no cycle

    def abandon(self) -> None:
        """Close the descriptor in a forked child; the connection itself is the parent's."""
        self.closed = True
        self.reading = False
        self.sock.close()
        self.recv, self.send = self.sock.recv, self.sock.send  # as in shut()

    def __repr__(self) -> str:
        return f"<LinkSocket conn_id={self.conn_id!r} remote_peer={self.remote_peer!r}>"
