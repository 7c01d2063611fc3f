"""Connections from their first byte to their last: TLS handshakes, input, output, ends."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Protocol

from snakemq.callbacks import Callback
from snakemq.exceptions import ConnectFailed, NoConnection, SendNotFinished

from .. import forks
from .._dialling._backoff import STABLE_AFTER
from .._dialling._connector import Connector
from .._failures import REPORT_INTERVAL, RemoteFailures
from .._interface import BytesLike
from .._loop._loop import Loop
from .._loop._poller import READ, WRITE, Handler
from .._tls._errors import explained, is_refusal
from . import _tcp
from ._socket import RECV_SIZE, WOULD_BLOCK, LinkSocket

if TYPE_CHECKING:
    import ssl

_LAST_WORDS = 8 * 1024 * 1024
"""Bytes that are still read from a connection on which nothing can be sent any more: more than a
system keeps for one whose other side has closed it."""


class Settings(Protocol):
    """The settings of the link that matter here."""

    recv_block_size: int
    tcp_keepalive: tuple[int, int, int] | None
    handshake_timeout: float

    def connect_failed(self, error: ConnectFailed) -> None: ...


class Traffic:
    """The connections of a link that are made, whoever dialled."""

    def __init__(self, loop: Loop, settings: Settings) -> None:
        self.on_connect: Callback[[str]] = Callback()
        self.on_disconnect: Callback[[str]] = Callback()
        self.on_recv: Callback[[str, bytes]] = Callback()
        self.on_ready_to_send: Callback[[str, int]] = Callback()
        self.connections: dict[str, LinkSocket] = {}
        self.connection_of: dict[Connector, LinkSocket] = {}
        self.handshaking: dict[str, LinkSocket] = {}
        """The :attr:`connections` whose TLS handshake is not finished, oldest first."""
        self.groups: Counter[str] = Counter()
        """How many connections that came in there are of each group."""
        self._loop = loop
        self._forks = forks.count
        self._settings = settings
        self._log = logging.getLogger("snakemq.link")
        self._last_conn_number = 0
        self._remote_failures = RemoteFailures()
        forks.register(self)

    def get(self, conn_id: str) -> LinkSocket:
        """Raises :exc:`~snakemq.exceptions.NoConnection`."""
        try:
            return self.connections[conn_id]
        except KeyError:
            raise _no_connection(conn_id) from None

    def count_of(self, group: str) -> int:
        """How many connections there are in a group, or in all if it is empty."""
        return self.groups[group] if group else len(self.connections)

    # -- beginning

    def adopt(
        self,
        sock: socket.socket,
        remote_peer: object,
        ssl_context: ssl.SSLContext | None,
        connector: Connector | None = None,
        group: str = "",
    ) -> None:
        """A socket is connected. ``group``: of one that came in, to be counted with others."""
        sock.setblocking(False)
        if sock.family != getattr(socket, "AF_UNIX", None):
            _tcp.prepare(sock, self._settings.tcp_keepalive)
        make: type[LinkSocket] = LinkSocket
        if ssl_context is not None:
            from ._tls_socket import TLSLinkSocket  # imports ssl, see _tls

            make = TLSLinkSocket
            try:
                sock.getpeername()  # wrap_socket() forgets to close one that was reset
                sock = ssl_context.wrap_socket(
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
                    self.failed(remote_peer, failure)
                return
        self._last_conn_number += 1
        conn_id = f"{self._last_conn_number}fd{sock.fileno()}"
        conn = make(sock, conn_id, remote_peer, connector)
        conn.recv_size = min(conn.recv_size, self._settings.recv_block_size)
        self.connections[conn_id] = conn
        if group:
            conn.group = group
            self.groups[group] += 1
        if connector is not None:
            self.connection_of[connector] = conn
        if ssl_context is None:
            conn.connected_at = self._loop.time()
            self._watch(conn)
            self._announce(conn)
        else:
            self._watch(conn)
            self.handshaking[conn_id] = conn
            conn.handshake_deadline = self._loop.call_later(
                self._settings.handshake_timeout, lambda: self._handshake_timed_out(conn)
            )
            self._shake_hands(conn)

    def _announce(self, conn: LinkSocket) -> None:
        self._log.info("connect %s %r", conn.conn_id, conn.remote_peer)
        if conn.connector is not None:
            conn.connector.connected(conn)
        try:
            self.on_connect.call_while(lambda: not conn.closed, conn.conn_id)
        except Exception:
            # It may have been a check, and a connection that nobody has approved must not go on.
            self._log.exception("conn=%s is closed: a callback of on_connect raised", conn.conn_id)
            self.drop(conn, "a callback of on_connect raised")
        except BaseException:
            self._interrupted(conn)
            raise

    def _shake_hands(self, conn: LinkSocket) -> None:
        try:
            event = conn.shake_hands()
        except (OSError, ValueError) as exc:  # ValueError: closed below us before it began
            conn.failure = explained(exc, "TLS handshake")
            self.drop(conn, "TLS handshake failed")
            return
        if event:
            self._want(conn, write=event == WRITE)
            return
        if conn.handshake_deadline is not None:
            conn.handshake_deadline.cancel()
        del self.handshaking[conn.conn_id]
        conn.connected_at = self._loop.time()
        conn.want_write = False
        self._watch(conn)
        self._announce(conn)
        if not conn.closed:
            # The first bytes may have come along with the end of the handshake: TLS has them and
            # the poller knows nothing of them.
            self._on_readable(conn)

    def _handshake_timed_out(self, conn: LinkSocket) -> None:
        timeout = self._settings.handshake_timeout
        conn.failure = TimeoutError(f"TLS handshake: no answer in {timeout:g} s")
        self.drop(conn, "TLS handshake failed")

    # -- input

    def _on_io(self, conn: LinkSocket, mask: int) -> None:
        """Events of a connection that waits for more than input."""
        if conn.closed:
            return  # by a callback of another connection in this pass
        if conn.connected_at is None:
            self._shake_hands(conn)
            return
        if mask & ~READ:
            self._on_writable(conn)
            if conn.closed:
                return
        if mask & ~WRITE:
            self._on_readable(conn)

    def _on_readable(self, conn: LinkSocket, mask: int = READ) -> int:
        """How many bytes were read. The poller calls it for nearly all events, whatever they are:
        hang-ups and errors are told by reading."""
        if not conn.reading:
            return 0  # closed or paused by a callback of another connection in this pass
        size = conn.recv_size
        try:
            data = conn.recv(size)
        except WOULD_BLOCK:
            return 0
        except OSError as exc:
            self._ended(conn, exc)
            return 0
        received = len(data)
        if not received:
            self._ended(conn, None)
            return 0
        conn.has_received = True
        # The buffer for each read is allocated anew and cut down to what came, so it is larger
        # during bulk transfers only.
        if received >= size < self._settings.recv_block_size:
            conn.recv_size = min(size * 2, self._settings.recv_block_size)
        elif received * 16 < size > RECV_SIZE:
            conn.recv_size = size // 2
        conn_id = conn.conn_id
        # One by one, and not as a call of the event, which takes as long again as all of this.
        for func in self.on_recv.callbacks:
            try:
                func(conn_id, data)
            except Exception:
                self._log.exception("a callback raised")
            except BaseException:
                self._interrupted(conn)
                raise
        return received

    def pause_reading(self, conn_id: str, reason: object) -> None:
        """See :meth:`LinkInterface.pause_reading`."""
        self._loop.check_process()
        conn = self.get(conn_id)
        conn.paused_by |= {reason}
        if conn.reading:
            conn.reading = False
            self._watch(conn)

    def resume_reading(self, conn_id: str, reason: object) -> None:
        """See :meth:`LinkInterface.resume_reading`."""
        self._loop.check_process()
        conn = self.get(conn_id)
        conn.paused_by -= {reason}
        if conn.paused_by or conn.reading:
            return
        conn.reading = True
        self._watch(conn)
        if conn.keeps_bytes:
            self._loop.call_later(0, lambda: self._on_readable(conn))
        if not self._loop.in_loop():
            self._loop.wake_up()  # as in _want()

    def _interrupted(self, conn: LinkSocket) -> None:
        """After Ctrl-C in a callback nobody knows how far it got and who was told, so it costs the
        connection: a loop that is entered again must not go on in the middle of it."""
        self.drop(conn, "interrupted")

    # -- output

    def send(self, conn_id: str, data: BytesLike) -> None:
        """See :meth:`LinkInterface.send`."""
        conn = self._begin_send(conn_id, data)
        if self._try_to_send(conn, data):
            self._loop.finish(partial(self._report_send, conn))

    def send_at_once(self, conn_id: str, data: BytesLike) -> bool:
        """See :meth:`snakemq.link.Link.send_at_once`."""
        conn = self.connections.get(conn_id)
        if (
            conn is None
            or conn.send_pending is not None
            or data.__class__ is not bytes
            or not data
            or forks.count != self._forks
        ):
            conn = self._begin_send(conn_id, data)  # knows what is wrong, if anything is
        else:
            conn.send_pending = data
        if self._try_to_send(conn, data):
            conn.send_pending = None
            return True
        return False

    def _begin_send(self, conn_id: str, data: BytesLike) -> LinkSocket:
        if forks.count != self._forks:
            self._loop.check_process()  # a child would write into the stream of its parent
        conn = self.connections.get(conn_id)
        if conn is None:
            raise _no_connection(conn_id)
        if conn.send_pending is not None:
            raise SendNotFinished(f"wait for on_ready_to_send of {conn_id} before the next send")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"only bytes can be sent, not {type(data).__name__}")
        if not len(data):
            raise ValueError("there is nothing to send")
        conn.send_pending = data
        return conn

    def _try_to_send(self, conn: LinkSocket, data: BytesLike) -> bool:
        """True if all of it was taken over and the caller has to report it; else it is reported
        when the system is not full any more."""
        try:
            sent = conn.send(data)
        except WOULD_BLOCK:
            self._want(conn, write=True)
        except OSError as exc:
            reason = str(exc)
            # Not within send().
            self._loop.call_later(0, lambda: self._drop_after_reading(conn, reason, _LAST_WORDS))
        except BaseException:
            # Ctrl-C, or out of memory: nobody knows how much was sent.
            self._loop.call_later(0, lambda: self._interrupted(conn))
            raise
        else:
            conn.send_pending = sent
            # If the poller is asked already, it alone reports: a send that is in both places would
            # be reported twice.
            if sent == len(data) and not conn.want_write:
                return True
            self._want(conn, write=True)
        return False

    def _on_writable(self, conn: LinkSocket) -> None:
        data = conn.send_pending
        if isinstance(data, int):
            self._report_send(conn)
        elif data is not None:
            self._want(conn, write=False)
            if self._try_to_send(conn, data):
                self._report_send(conn)
        if not conn.closed and conn.send_pending is None:
            self._want(conn, write=False)

    def _report_send(self, conn: LinkSocket) -> None:
        if not conn.closed:
            sent = conn.send_pending
            assert isinstance(sent, int)
            conn.send_pending = None
            conn_id = conn.conn_id
            for func in self.on_ready_to_send.callbacks:  # as in _on_readable()
                try:
                    func(conn_id, sent)
                except Exception:
                    self._log.exception("a callback raised")
                except BaseException:
                    self._interrupted(conn)
                    raise

    def _want(self, conn: LinkSocket, *, write: bool) -> None:
        if conn.want_write != write:
            conn.want_write = write
            self._watch(conn)
            if not self._loop.in_loop():
                self._loop.wake_up()  # the poller may not notice until it is asked again

    def _watch(self, conn: LinkSocket) -> None:
        poller, fd = self._loop.poller, conn.sock.fileno()
        events = WRITE if conn.want_write else 0
        if conn.reading or conn.connected_at is None:
            events |= READ
        if not events:
            # Not watched at all: a hang-up, which is told in any case, would come again and again.
            with contextlib.suppress(KeyError):  # there was no room for it, see below
                poller.unregister(fd)
            return
        only_reads = events == READ and conn.connected_at is not None
        handler: Handler = partial(self._on_readable if only_reads else self._on_io, conn)
        try:
            try:
                poller.modify(fd, events, handler)
            except KeyError:  # it was not watched
                poller.register(fd, events, handler)
        except OSError as exc:  # no room for one more: it would stay deaf and dumb
            reason = f"cannot watch it: {exc}"
            self._loop.call_later(0, lambda: self.drop(conn, reason))

    # -- the end

    def report_failure(self, conn_id: str, error: Exception) -> None:
        """See :meth:`ReportingLink.report_failure`."""
        self.get(conn_id).failure = error

    def _ended(self, conn: LinkSocket, exc: OSError | None) -> None:
        """The other side has closed it, or broken it off."""
        if conn.connector is not None and conn.failure is None and not conn.has_received:
            if exc is not None and is_refusal(exc):
                # With TLS 1.3 a client learns by its first read that its certificate is refused.
                conn.failure = explained(exc, "TLS")
            elif self._loop.time() - (conn.connected_at or 0.0) < STABLE_AFTER:
                question = "" if conn.is_tls else ": does it expect TLS?"
                conn.failure = ConnectionError(f"closed by the other side at once{question}")
        self.drop(conn, "by the other side" if exc is None else str(exc))

    def failed(
        self, remote_peer: object, error: Exception, what: str = "connection from {!r} failed"
    ) -> None:
        """A peer that came to a listener was of no use, or not let in: report it now and then.

        ``what``: has a place for the address.
        """
        host = remote_peer[0] if isinstance(remote_peer, tuple) and remote_peer else remote_peer
        untold = self._remote_failures.add(host, str(error), self._loop.time())
        if untold is None:
            self._log.debug("%s: %s", what.format(remote_peer), error)
            return
        failure = ConnectFailed(f"{what.format(remote_peer)}: {error}", remote_peer)
        failure.__cause__ = error
        more = f" (and {untold} more that were not logged)" if untold else ""
        self._log.warning("%s%s; not told again within %g s", failure, more, REPORT_INTERVAL)
        self._settings.connect_failed(failure)

    def _drop_after_reading(self, conn: LinkSocket, reason: str, limit: int) -> None:
        """What the other side has sent before it closed is still there, and may be a lot.

        A block in a pass, and an end: it may also have ceased to read and go on sending. While
        reading is paused there is nobody for it.
        """
        size = 0 if conn.closed else self._on_readable(conn)
        if 0 < size < limit:
            self._loop.call_later(0, lambda: self._drop_after_reading(conn, reason, limit - size))
        else:
            self.drop(conn, reason)

    def drop(self, conn: LinkSocket, reason: str) -> None:
        """Close a connection, and tell it."""
        if conn.closed:
            return
        lasted = None if conn.connected_at is None else self._loop.time() - conn.connected_at
        level = logging.DEBUG if lasted is None else logging.INFO
        self._log.log(level, "disconnect %s: %s", conn.conn_id, reason)
        try:
            with contextlib.suppress(KeyError):  # interrupted at the first attempt
                self._loop.poller.unregister(conn.sock.fileno())
            conn.shut()
            self._forget(conn)
            if lasted is not None:
                self._loop.call(self.on_disconnect, conn.conn_id)
        finally:
            # Also after Ctrl-C, or it would never dial again; and once, however often it is begun.
            connector = conn.connector
            if connector is None:
                if conn.failure is not None:
                    self.failed(conn.remote_peer, conn.failure)
            elif self.connection_of.get(connector) is conn:
                del self.connection_of[connector]
                connector.connection_ended(lasted, conn.failure)

    def _forget(self, conn: LinkSocket) -> None:
        self.connections.pop(conn.conn_id, None)
        self.handshaking.pop(conn.conn_id, None)
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
        """See :class:`forks.Owner`."""
        for conn in list(self.connections.values()):
            conn.abandon()


def _no_connection(conn_id: str) -> NoConnection:
    return NoConnection(f"there is no connection {conn_id!r} (any more)")
