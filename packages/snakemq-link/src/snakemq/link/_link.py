"""The driver: listeners, connectors, and the input and output of connections."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, overload

from snakemq.callbacks import Callback
from snakemq.exceptions import NoConnection, SendNotFinished

from ._address import Address, normalize
from ._backoff import Backoff
from ._connector import Connector
from ._interface import BytesLike
from ._listener import OUT_OF_RESOURCES, Listener
from ._loop import Loop
from ._socket import RECV_SIZE, WOULD_BLOCK, LinkSocket
from ._timers import Timer
from ._tls import NOT_TLS, SSLConfig

P = ParamSpec("P")

RECONNECT_INTERVAL = 3.0
"""Longest wait of a connector between two attempts, in seconds."""

RECV_BLOCK_SIZE = 1024 * 1024
"""The most that is read from one connection before the others have their turn, in bytes."""

LISTEN_BACKLOG = 1024
"""Connections that the system may hold for a listener until they are accepted. Generous, because
all clients of a restarted server come back at once; the system cuts it to its own limit."""

MAX_CONNECTIONS = 16 * 1024
"""Connections of one link; a bound on what strangers can make it hold, far above usual needs."""

CONNECT_TIMEOUT = 10.0
"""Seconds for an attempt to connect, when nothing answers at all."""

HANDSHAKE_TIMEOUT = 10.0
"""Seconds for a TLS handshake."""

_LAST_WORDS = 8 * 1024 * 1024
"""Bytes that are still read from a connection on which nothing can be sent any more: more than a
system keeps for one whose other side has closed it."""

_ACCEPTS_PER_PASS = 64
_ACCEPT_PAUSE = 0.5

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE


class Link:
    """Keeper of connections, and the loop that drives the whole stack.

    Any number of listeners and connectors; a connection is the same on both sides once it is
    made. A connector dials again whenever its connection ends or cannot be made: quickly at
    first, then less and less often until it waits ``reconnect_interval`` seconds. Names are
    resolved at each attempt.

    Data that arrives is handed to ``on_recv`` in the order in which it was sent. How it is cut
    says nothing about how it was sent: see :class:`~snakemq.packeter.Packeter`.

    The interface to the layers above is :class:`~snakemq.link.LinkInterface`. All methods are
    for the thread that runs :meth:`loop`, or for any one thread while none does, with these
    exceptions which are thread-safe: :meth:`stop`, :meth:`wakeup_poll`, :meth:`time`,
    :meth:`in_loop`, :meth:`call_from_thread`, :meth:`add_connector`, :meth:`cleanup`. Signal
    handlers may call :meth:`stop` and :meth:`wakeup_poll`.

    Limits, all seconds or counts: ``max_connections`` (what comes in beyond is closed at once),
    ``listen_backlog``, ``connect_timeout``, ``handshake_timeout``. See the constants of this
    module for the defaults and their reasons.
    """

    __module__ = "snakemq.link"

    def __init__(
        self,
        *,
        max_connections: int = MAX_CONNECTIONS,
        listen_backlog: int = LISTEN_BACKLOG,
        connect_timeout: float = CONNECT_TIMEOUT,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        self.log = logging.getLogger("snakemq.link")

        self.reconnect_interval = RECONNECT_INTERVAL
        """For connectors that are added from now on without one of their own, in seconds."""
        self.recv_block_size = RECV_BLOCK_SIZE
        self.max_connections = max_connections
        self.listen_backlog = listen_backlog
        self.connect_timeout = connect_timeout
        self.handshake_timeout = handshake_timeout

        self.on_connect: Callback[[str]] = Callback()
        self.on_disconnect: Callback[[str]] = Callback()
        self.on_recv: Callback[[str, bytes]] = Callback()
        self.on_ready_to_send: Callback[[str, int]] = Callback()
        self.on_loop_pass: Callback[[]] = Callback()

        self._loop = Loop(self.on_loop_pass)

        self._connections: dict[str, LinkSocket] = {}
        self._last_conn_number = 0
        self._listeners: dict[Address, Listener] = {}
        self._connectors: dict[Address, Connector] = {}
        self._add_lock = threading.Lock()  # no connector comes after _close_all() has begun
        self._connection_of: dict[Connector, LinkSocket] = {}

    @property
    def selector(self) -> selectors.BaseSelector:
        """What the loop sleeps in."""
        return self._loop.selector

    # -- connectors and listeners

    @overload
    def add_connector(
        self,
        address: tuple[str, int],
        reconnect_interval: float | None = None,
        ssl_config: SSLConfig | None = None,
    ) -> tuple[str, int]: ...
    @overload
    def add_connector(
        self,
        address: str | os.PathLike[str],
        reconnect_interval: float | None = None,
        ssl_config: SSLConfig | None = None,
    ) -> str: ...
    @overload
    def add_connector(
        self,
        address: Address | os.PathLike[str],
        reconnect_interval: float | None = None,
        ssl_config: SSLConfig | None = None,
    ) -> Address: ...
    def add_connector(
        self,
        address: Address | os.PathLike[str],
        reconnect_interval: float | None = None,
        ssl_config: SSLConfig | None = None,
    ) -> Address:
        """Keep a connection to ``address``; the first attempt is made by the loop. Thread-safe.

        ``address``: ``("host", port)`` or the path of a Unix socket.
        ``reconnect_interval``: longest time between two attempts in seconds.

        Returns the address, for :meth:`del_connector`. Raises ``TypeError`` and ``ValueError``
        for a wrong address or one that has a connector already, and whatever loading the
        files of ``ssl_config`` raises.
        """
        self._loop.check_usable()
        address = normalize(address)
        if isinstance(address, tuple) and address[1] == 0:
            raise ValueError("port 0 cannot be dialled")
        interval = self.reconnect_interval if reconnect_interval is None else reconnect_interval
        if not interval > 0:
            raise ValueError(f"reconnect_interval must be above 0 seconds, not {interval!r}")
        connector = Connector(self, address, ssl_config, Backoff(interval, random.random))
        with self._add_lock:
            self._loop.check_usable()
            if address in self._connectors:
                raise ValueError(f"there is a connector to {address!r} already")
            self._connectors[address] = connector
        self.call_from_thread(connector.begin)
        return address

    def del_connector(self, address: Address | os.PathLike[str]) -> None:
        """Remove a connector and close its connection.

        Raises ``KeyError`` when there is no connector to that address.
        """
        self._loop.check_process()
        connector = self._connectors.pop(normalize(address))
        connector.remove()
        conn = self._connection_of.get(connector)
        if conn is not None:
            self._drop(conn, "its connector was deleted")

    @overload
    def add_listener(
        self, address: tuple[str, int], ssl_config: SSLConfig | None = None
    ) -> tuple[str, int]: ...
    @overload
    def add_listener(
        self, address: str | os.PathLike[str], ssl_config: SSLConfig | None = None
    ) -> str: ...
    @overload
    def add_listener(
        self, address: Address | os.PathLike[str], ssl_config: SSLConfig | None = None
    ) -> Address: ...
    def add_listener(
        self, address: Address | os.PathLike[str], ssl_config: SSLConfig | None = None
    ) -> Address:
        """Listen on ``address`` from now on.

        ``address``: ``("host", port)``, where an empty host means all IPv4 interfaces and port 0
        any free port, or the path of a Unix socket. A host name is resolved here and now, which
        may block.

        Returns the real address, for :meth:`del_listener` and for connectors. Raises
        ``TypeError``, ``ValueError`` (also when there is a listener already), ``OSError`` (the
        address is not free, or not ours) and whatever loading the files of ``ssl_config`` raises.
        """
        self._loop.check_usable()
        address = normalize(address)
        if address in self._listeners:
            raise ValueError(f"there is a listener on {address!r} already")
        listener = Listener(address, ssl_config, self.listen_backlog)
        self._listeners[listener.address] = listener
        self.selector.register(listener.sock, _READ, partial(self._on_acceptable, listener))
        self.log.debug("listen on %r", listener.address)
        return listener.address

    def del_listener(self, address: Address | os.PathLike[str]) -> None:
        """Stop listening; connections that came in stay.

        ``address``: what :meth:`add_listener` has returned, or what it was given.

        Raises ``KeyError`` when there is no listener on that address, or several were given it
        (port 0 for example).
        """
        self._loop.check_process()
        address = normalize(address)
        if address not in self._listeners:
            wanted = [real for real, one in self._listeners.items() if one.wanted == address]
            if len(wanted) != 1:
                raise KeyError(f"there are {len(wanted)} listeners on {address!r}")
            address = wanted[0]
        listener = self._listeners.pop(address)
        with contextlib.suppress(KeyError):  # while accepting is paused
            self.selector.unregister(listener.sock)
        listener.close()

    # -- connections

    def send(self, conn_id: str, data: BytesLike) -> None:
        """See :meth:`LinkInterface.send`. Most efficient with 64 KiB and more at a time."""
        self._loop.check_process()  # a child of a fork would write into the stream of its parent
        conn = self.get_socket_by_conn(conn_id)
        if conn.send_pending is not None:
            raise SendNotFinished(f"wait for on_ready_to_send of {conn_id} before the next send")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"only bytes can be sent, not {type(data).__name__}")
        if not len(data):
            raise ValueError("there is nothing to send")
        conn.send_pending = data
        self._try_to_send(conn)

    def close(self, conn_id: str) -> None:
        """See :meth:`LinkInterface.close`. A connector will dial again."""
        self._loop.check_process()
        self._drop(self.get_socket_by_conn(conn_id), "by this side")

    def get_socket_by_conn(self, conn_id: str) -> LinkSocket:
        """The socket of a connection, for its address or the certificate of the other side.

        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """
        try:
            return self._connections[conn_id]
        except KeyError:
            raise NoConnection(f"there is no connection {conn_id!r} (any more)") from None

    # -- time

    def time(self) -> float:
        """See :meth:`LinkInterface.time`. Thread-safe."""
        return self._loop.time()

    def call_later(self, delay: float, func: Callable[[], object]) -> Timer:
        """See :meth:`LinkInterface.call_later`."""
        return self._loop.call_later(delay, func)

    def call_from_thread(self, func: Callable[[], object]) -> None:
        """Call ``func()`` in the loop soon. Thread-safe."""
        self._loop.call_from_thread(func)

    # -- the loop

    def loop(
        self,
        poll_timeout: float | None = None,
        count: int | None = None,
        runtime: float | None = None,
    ) -> None:
        """Run until :meth:`stop` is called.

        ``poll_timeout``: make a pass at least every that many seconds. Not needed: the loop
        sleeps until there is something to do.
        ``count``: end after that many passes in which something arrived.
        ``runtime``: end after that many seconds.

        Raises :exc:`~snakemq.exceptions.LoopError` when the loop is running already, after
        :meth:`cleanup`, and in a process that inherited the link through a fork: parent and
        child would take each other's bytes. Make the link after the fork.
        """
        self._loop.run(poll_timeout, count, runtime)

    def stop(self) -> None:
        """Make :meth:`loop` return at once. Thread-safe.

        Before :meth:`loop` was called it makes the next call return, so that a thread which is
        still starting its loop cannot miss it.
        """
        self._loop.stop()

    def wakeup_poll(self) -> None:
        """See :meth:`LinkInterface.wakeup_poll`. Thread-safe."""
        self._loop.wake_up()

    def in_loop(self) -> bool:
        """See :meth:`LinkInterface.in_loop`. Thread-safe."""
        return self._loop.in_loop()

    def cleanup(self) -> None:
        """Close all connections and remove all connectors and listeners; the end of this link.

        Idempotent. Called in a callback it also ends the loop; from another thread it stops
        the loop first and waits for it, and ``on_disconnect`` is called in that thread. Raises
        :exc:`~snakemq.exceptions.LoopError` when the loop does not end within 10 seconds because
        a callback blocks it, and in a process that inherited the link through a fork.
        """
        self._loop.end(self._close_all)

    def _close_all(self) -> None:
        with self._add_lock:
            self._loop.ended = True
        # Their callbacks may remove others meanwhile.
        while self._connectors:
            self.del_connector(next(iter(self._connectors)))
        while self._listeners:
            self.del_listener(next(iter(self._listeners)))
        while self._connections:
            # Taken out here: a drop that Ctrl-C has interrupted is not begun again.
            self._drop(self._connections.popitem()[1], "cleanup")

    def _tell(
        self, conn: LinkSocket, func: Callable[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Call a callback that is about a connection, which costs it when interrupted.

        After Ctrl-C nobody knows how far it got and who was told, so a loop that is entered again
        must not go on in the middle of it.
        """
        try:
            func(*args, **kwargs)
        except Exception:
            self.log.exception("a callback raised")
        except BaseException:
            self._drop(conn, "interrupted")
            raise

    # -- events of sockets

    def _on_acceptable(self, listener: Listener, mask: int) -> None:
        for _ in range(_ACCEPTS_PER_PASS):
            if self._listeners.get(listener.address) is not listener:
                return  # deleted by a callback
            try:
                sock, remote_peer = listener.accept()
            except WOULD_BLOCK:
                return
            except OSError as exc:
                if exc.errno in OUT_OF_RESOURCES:
                    self._pause_accepting(listener, exc)
                    return
                self.log.info("accept on %r: %s", listener.address, exc)  # gone before we came
                continue
            if len(self._connections) >= self.max_connections:
                self.log.error(
                    "refused %r: there are %d connections", remote_peer, self.max_connections
                )
                sock.close()
                continue
            self._adopt(sock, remote_peer, listener.ssl_context, None, None)

    def _pause_accepting(self, listener: Listener, exc: OSError) -> None:
        # The waiting connection keeps the listener readable: without a pause the loop would spin.
        self.log.error("accept on %r: %s; pausing for %g s", listener.address, exc, _ACCEPT_PAUSE)
        self.selector.unregister(listener.sock)

        def resume() -> None:
            if self._listeners.get(listener.address) is listener:
                self.selector.register(listener.sock, _READ, partial(self._on_acceptable, listener))

        self.call_later(_ACCEPT_PAUSE, resume)

    def adopt_dialled(self, sock: socket.socket, remote_peer: object, connector: Connector) -> None:
        """A connector has connected. Not for users."""
        self._adopt(sock, remote_peer, connector.ssl_context, connector.server_hostname, connector)

    def _adopt(
        self,
        sock: socket.socket,
        remote_peer: object,
        ssl_context: ssl.SSLContext | None,
        server_hostname: str | None,
        connector: Connector | None,
    ) -> None:
        sock.setblocking(False)
        if sock.family != getattr(socket, "AF_UNIX", None):
            with contextlib.suppress(OSError):  # reset meanwhile; reading will tell
                # The layers above write whole batches; waiting for more would only delay them.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if ssl_context is not None:
            try:
                sock.getpeername()  # wrap_socket() forgets to close one that was reset
                sock = ssl_context.wrap_socket(
                    sock,
                    server_side=connector is None,
                    do_handshake_on_connect=False,
                    server_hostname=server_hostname,
                )
            except (OSError, ValueError) as exc:
                sock.close()
                self._log_tls_failure(remote_peer, connector, str(exc))
                if connector is not None:
                    connector.connection_ended(None)
                return
        self._last_conn_number += 1
        conn_id = f"{self._last_conn_number}fd{sock.fileno()}"
        conn = LinkSocket(sock, conn_id, remote_peer, connector)
        conn.recv_size = min(conn.recv_size, self.recv_block_size)
        self._connections[conn_id] = conn
        if connector is not None:
            self._connection_of[connector] = conn
        self.selector.register(sock, _READ, partial(self._on_io, conn))
        if ssl_context is None:
            self._announce(conn)
        else:
            conn.handshake_deadline = self.call_later(
                self.handshake_timeout, lambda: self._handshake_timed_out(conn)
            )
            self._shake_hands(conn)

    def _announce(self, conn: LinkSocket) -> None:
        conn.connected_at = self.time()
        self.log.info("connect %s %r", conn.conn_id, conn.remote_peer)
        self._tell(conn, self.on_connect.call_while, lambda: not conn.closed, conn.conn_id)

    def _shake_hands(self, conn: LinkSocket) -> None:
        assert isinstance(conn.sock, ssl.SSLSocket)
        try:
            conn.sock.do_handshake()
        except ssl.SSLWantReadError:
            self._want(conn, write=False)
        except ssl.SSLWantWriteError:
            self._want(conn, write=True)
        except (OSError, ValueError) as exc:  # ValueError: closed below us before it began
            question = ": is it TLS?" if getattr(exc, "reason", None) in NOT_TLS else ""
            self._log_tls_failure(conn.remote_peer, conn.connector, f"{exc}{question}")
            self._drop(conn, "TLS handshake failed")
        else:
            if conn.handshake_deadline is not None:
                conn.handshake_deadline.cancel()
            self._want(conn, write=False)
            self._announce(conn)
            if not conn.closed:
                # The first bytes may have come along with the end of the handshake: TLS has them
                # and the selector knows nothing of them.
                self._on_readable(conn)

    def _handshake_timed_out(self, conn: LinkSocket) -> None:
        self._log_tls_failure(
            conn.remote_peer, conn.connector, f"no answer in {self.handshake_timeout:g} s"
        )
        self._drop(conn, "TLS handshake failed")

    def _log_tls_failure(
        self, remote_peer: object, connector: Connector | None, reason: str
    ) -> None:
        level = logging.ERROR if connector is None else connector.failure_level()
        self.log.log(level, "TLS handshake with %r: %s", remote_peer, reason)

    def _on_io(self, conn: LinkSocket, mask: int) -> None:
        if conn.closed:
            return  # by a callback of another connection in this pass
        if conn.connected_at is None:
            self._shake_hands(conn)
            return
        if mask & _WRITE:
            self._on_writable(conn)
        if mask & _READ and not conn.closed:
            self._on_readable(conn)

    def _on_readable(self, conn: LinkSocket) -> int:
        """How many bytes were read."""
        size = conn.recv_size
        try:
            data = conn.recv(size)
        except WOULD_BLOCK:
            return 0
        except OSError as exc:
            self._drop(conn, str(exc))
            return 0
        if not data:
            self._drop(conn, "by the other side")
            return 0
        # The buffer for each read is allocated anew, which is cheap at 64 KiB and not at 1 MiB; so
        # it is large during bulk transfers only.
        if len(data) >= size < self.recv_block_size:
            conn.recv_size = min(size * 4, self.recv_block_size)
        elif len(data) * 16 < size > RECV_SIZE:
            conn.recv_size = size // 4
        self._tell(conn, self.on_recv, conn.conn_id, data)
        return len(data)

    def _try_to_send(self, conn: LinkSocket) -> None:
        data = conn.send_pending
        assert data is not None and not isinstance(data, int)
        try:
            sent = conn.send(data)
        except WOULD_BLOCK:
            self._want(conn, write=True)
        except OSError as exc:
            reason = str(exc)
            # Not within send().
            self.call_later(0, lambda: self._drop_after_reading(conn, reason, _LAST_WORDS))
        except BaseException:
            # Ctrl-C, or out of memory: nobody knows how much was sent.
            self.call_later(0, lambda: self._drop(conn, "interrupted"))
            raise
        else:
            conn.send_pending = sent
            if sent == len(data) and not conn.want_write:
                self._loop.finish(partial(self._report_send, conn))
            else:
                # The system is full; reported when it is not. If the selector is asked already,
                # it alone reports: a send that is in both places would be reported twice.
                self._want(conn, write=True)

    def _on_writable(self, conn: LinkSocket) -> None:
        if isinstance(conn.send_pending, int):
            self._report_send(conn)
        elif conn.send_pending is not None:
            self._want(conn, write=False)
            self._try_to_send(conn)
        if not conn.closed and conn.send_pending is None:
            self._want(conn, write=False)

    def _report_send(self, conn: LinkSocket) -> None:
        if not conn.closed:
            sent = conn.send_pending
            assert isinstance(sent, int)
            conn.send_pending = None
            self._tell(conn, self.on_ready_to_send, conn.conn_id, sent)

    def _want(self, conn: LinkSocket, *, write: bool) -> None:
        if conn.want_write != write:
            conn.want_write = write
            self.selector.modify(
                conn.sock, _READ | _WRITE if write else _READ, partial(self._on_io, conn)
            )

    def _drop_after_reading(self, conn: LinkSocket, reason: str, limit: int) -> None:
        """What the other side has sent before it closed is still there, and may be a lot.

        A block in a pass, and an end: it may also have ceased to read and go on sending.
        """
        size = 0 if conn.closed else self._on_readable(conn)
        if 0 < size < limit:
            self.call_later(0, lambda: self._drop_after_reading(conn, reason, limit - size))
        else:
            self._drop(conn, reason)

    def _drop(self, conn: LinkSocket, reason: str) -> None:
        if conn.closed:
            return
        self.log.info("disconnect %s: %s", conn.conn_id, reason)
        lasted = None if conn.connected_at is None else self.time() - conn.connected_at
        try:
            with contextlib.suppress(KeyError):  # interrupted at the first attempt
                self.selector.unregister(conn.sock)
            conn.shut()
            self._connections.pop(conn.conn_id, None)
            if lasted is not None:
                self._loop.call(self.on_disconnect, conn.conn_id)
        finally:
            # Also after Ctrl-C, or it would never dial again; and once, however often it is begun.
            connector = conn.connector
            if connector is not None and self._connection_of.get(connector) is conn:
                del self._connection_of[connector]
                connector.connection_ended(lasted)
