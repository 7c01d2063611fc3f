"""One connection of a link."""

from __future__ import annotations

import contextlib
import enum
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from .._credentials import PeerCredentials, UnixCredentials

if TYPE_CHECKING:
    from .._interface import BytesLike
    from .._loop._poller import Handler
    from .._loop._timers import Timer

WOULD_BLOCK = (BlockingIOError, InterruptedError)

RECV_SIZE = 64 * 1024
"""Bytes that are read at a time from a connection on which little comes in."""

STABLE_AFTER = 1.0
"""Seconds after which a connection counts as one that works."""


class Phase(enum.Enum):
    """The life of a connection, which only goes forward. The connection table writes it."""

    SHAKING_HANDS = "in the TLS handshake, and not announced yet"
    OPEN = "announced by on_connect, or about to be"
    CLOSED = "gone from the link"


class Dialler(Protocol):
    """The connector that has made a connection, and hears what becomes of it."""

    server_hostname: str | None
    address: tuple[str, int] | str
    ident: str | None

    def connected(self, conn: LinkSocket) -> None:
        """The connection is ready for use."""

    def connection_ended(self, lasted: float | None, failure: Exception | None) -> None:
        """The connection is gone. ``lasted``: seconds for which it was usable; ``None``: never."""


class LinkSocket:
    """A connected socket. Users get it from :meth:`snakemq.link.Link.get_socket_by_conn`."""

    __slots__ = (
        "conn_id",
        "connected_at",
        "connector",
        "deadline",
        "expires_at",
        "failure",
        "group",
        "has_received",
        "on_io",
        "on_readable",
        "paused_by",
        "phase",
        "reading",
        "recv",
        "recv_size",
        "remote_peer",
        "send",
        "sending",
        "sock",
        "taken",
        "want_write",
    )

    keeps_bytes = False
    """True if it may have received bytes that the poller does not see."""

    def __init__(
        self, sock: socket.socket, conn_id: str, remote_peer: object, connector: Dialler | None
    ) -> None:
        self.sock: socket.socket = sock
        self.conn_id: str = conn_id
        self.remote_peer: object = remote_peer
        """The address of the other side, as the socket module gives it."""
        self.recv: Callable[[int], bytes] = sock.recv
        """Reads at most about this many bytes; none at the end. Raises ``OSError``."""
        self.send: Callable[[BytesLike], int] = sock.send
        """Returns how many bytes the system took, at least one. Raises ``OSError``; after one of
        :data:`WOULD_BLOCK` the same data has to be given again."""

        # Written by the connection table, and by the adoption.
        self.phase: Phase = Phase.SHAKING_HANDS
        self.connected_at: float = 0.0
        """When it was opened, in seconds."""
        self.connector: Dialler | None = connector
        self.group: str = ""
        """What an incoming connection is counted with, see ``Admission``."""
        self.failure: Exception | None = None
        """Why it is of no use and about to be closed."""
        self.deadline: Timer | None = None
        """The end of the time for the handshake, and then that of the peer's certificate."""
        self.expires_at: float | None = None
        """When the peer's certificate expires, in seconds since the epoch; ``None``: never, or
        nobody has checked it."""
        self.on_readable: Handler = _nothing
        """For the poller, while it waits for input only."""
        self.on_io: Handler = _nothing
        """For the poller, while it waits for more."""

        # Written by Receiving.
        self.reading: bool = True
        """False if it is closed or reading is paused: one flag, because each event looks at it."""
        self.paused_by: frozenset[object] = frozenset()
        """The reasons for which reading is paused."""
        self.has_received: bool = False
        self.recv_size: int = RECV_SIZE

        # Written by Sending.
        self.sending: BytesLike | None = None
        """The data of the send that is not reported yet; ``None``: the next one may begin."""
        self.taken: int = 0
        """How many bytes of it the system has taken; 0: it had no room yet, so we try again."""

        # Written by Watch.
        self.want_write: bool = False
        """Does the poller tell when the system has room?"""

    @property
    def is_tls(self) -> bool:
        return False

    @property
    def is_connector(self) -> bool:
        """True if this side dialled."""
        return self.connector is not None

    @property
    def dialled(self) -> tuple[str, int] | str | None:
        """The address of the connector; ``None`` if the other side dialled."""
        return None if self.connector is None else self.connector.address

    @property
    def expected_ident(self) -> str | None:
        """The only ident that the connector admits; ``None``: any one."""
        return None if self.connector is None else self.connector.ident

    def fileno(self) -> int:
        return self.sock.fileno()

    def getpeercert(self, binary_form: bool = False) -> dict[str, Any] | bytes | None:
        """The certificate of the other side, see :meth:`ssl.SSLSocket.getpeercert`.

        ``None`` without TLS or when the other side has none. Without ``CERT_REQUIRED`` or
        ``CERT_OPTIONAL`` only the binary form is available; the dictionary is empty.
        """
        return None

    def credentials(self) -> PeerCredentials:
        """See :meth:`CredentialsLink.peer_credentials`."""
        return PeerCredentials(
            address=self.remote_peer,
            dialled=self.dialled,
            expected_ident=self.expected_ident,
            unix=self.unix_credentials(),
        )

    def unix_credentials(self) -> UnixCredentials | None:
        """The process at the other end of a Unix socket, if the system tells it."""
        from ._unix import unix_credentials  # few processes need it

        return unix_credentials(self.sock)

    def shake_hands(self) -> int:
        """Go on with the TLS handshake. Returns which event it waits for, 0 when it is done.

        Raises ``OSError`` and ``ValueError``.
        """
        return 0

    def shut(self) -> None:
        """Close it, and tell the other side."""
        self.phase = Phase.CLOSED
        self.reading = False
        if self.deadline is not None:
            self.deadline.cancel()
        # Already reset or never connected: there is nothing to shut down.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        self.abandon()

    def abandon(self) -> None:
        """Close the descriptor. In a forked child that is all: the connection is the parent's."""
        self.phase = Phase.CLOSED
        self.reading = False
        self.sock.close()
        # These would keep it in a cycle of references.
        self.recv, self.send = self.sock.recv, self.sock.send
        self.on_readable = self.on_io = _nothing

    def __repr__(self) -> str:
        return f"<LinkSocket conn_id={self.conn_id!r} remote_peer={self.remote_peer!r}>"


def _nothing(mask: int) -> None:
    pass
