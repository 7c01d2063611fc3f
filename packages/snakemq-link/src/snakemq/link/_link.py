"""The class that users call, and how it is put together."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, overload

from snakemq._settings import Setting, above_zero, whole
from snakemq.callbacks import Callback, Event
from snakemq.exceptions import ConnectFailed

from ._connections._admission import MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS, Admission
from ._connections._adoption import Adoption
from ._connections._receiving import Receiving
from ._connections._sending import Sending
from ._connections._socket import LinkSocket
from ._connections._strangers import Strangers
from ._connections._table import ConnectionTable
from ._connections._tcp import check_keepalive
from ._connections._watch import Watch
from ._credentials import PeerCredentials
from ._dialling._address import Address, normalize
from ._dialling._dialling import Dialling
from ._interface import BytesLike
from ._loop._loop import Loop
from ._loop._timers import Timer
from ._tls._config import SSLConfig

RECONNECT_INTERVAL = 3.0
"""Longest wait of a connector between two attempts, in seconds."""

RECV_BLOCK_SIZE = 128 * 1024
"""Most bytes that are read from one connection before the others have their turn. The memory of
larger blocks goes back to the system after each read and returns page by page: with 1 MiB, packets
of 1 MiB took 3 times as much processor time."""

LISTEN_BACKLOG = 1024
"""Connections that the system may hold for a listener until they are accepted. Generous, because
all clients of a restarted server come back at once; the system cuts it to its own limit."""

CONNECT_TIMEOUT = 10.0
"""Seconds for one attempt to connect: looking up the name and trying all of its addresses."""

HANDSHAKE_TIMEOUT = 10.0
"""Seconds for a TLS handshake."""

TCP_KEEPALIVE = (60, 10, 3)
"""Seconds of silence after which the system probes a TCP connection, seconds between two probes,
and how many of them may go unanswered. So a side that only receives notices within 90 s that its
peer, or the path, is gone; otherwise it never would."""


class Link:
    """Keeps connections, and runs the loop that drives the whole stack.

    It has any number of listeners and connectors. Once a connection is made, it does not matter
    which side dialled. A connector dials again whenever its connection ends or cannot be made:
    quickly at first, then less and less often until it waits ``reconnect_interval`` seconds. It
    resolves names at each attempt and tries their addresses side by side, see RFC 8305.

    ``on_recv`` gets the data in the order in which it was sent, but cut anywhere:
    :class:`~snakemq.packeter.Packeter` keeps boundaries.

    The interface to the layers above is :class:`~snakemq.link.LinkInterface`. Call its methods in
    the thread that runs :meth:`loop`, or in any one thread while none does. Only these are
    thread-safe: :meth:`stop`, :meth:`wakeup_poll`, :meth:`time`, :meth:`in_loop`,
    :meth:`call_from_thread`, :meth:`add_connector`, :meth:`reconnect_now`, :meth:`cleanup`,
    :meth:`borrow`, :meth:`run_if_idle`, :attr:`give_back`. Signal handlers may call
    :meth:`stop` and :meth:`wakeup_poll`.

    Each setting is an argument and an attribute; a new value holds for what happens afterwards. The
    constants of this module are the defaults, and explain them. A wrong value raises ``TypeError``
    or ``ValueError``.

    - ``max_connections``: incoming connections beyond this number are closed at once. So are those
      that would use the last tenth, at least 32, of the file descriptors this process may have.
    - ``max_connections_per_address``: limit for incoming connections from one IPv4 address or one
      IPv6 /64 network: an ``int``; or a ``float``, the fraction of all that there may be, but at
      least 64; or ``None`` for any number. Unix sockets have no such limit.
    - ``listen_backlog``: how many connections the system holds for a listener until they are
      accepted.
    - ``reconnect_interval``: longest wait of connectors without one of their own, in seconds.
    - ``recv_block_size``: most bytes that are read from one connection at a time.
    - ``connect_timeout``: seconds for one attempt to connect, including the look-up of the name.
    - ``handshake_timeout``: seconds for a TLS handshake.
    - ``tcp_keepalive``: seconds of silence until the system probes a TCP connection, seconds
      between two probes, and how many of them may go unanswered, as far as the system lets them be
      set; ``None``: no probes.
    """

    max_connections: Setting[int] = Setting(whole(0))
    max_connections_per_address: Setting[float | None] = Setting(
        above_zero("connections", or_none=True)
    )
    listen_backlog: Setting[int] = Setting(whole(0))
    reconnect_interval: Setting[float] = Setting(above_zero("seconds"))
    recv_block_size: Setting[int] = Setting(whole(1))
    connect_timeout: Setting[float] = Setting(above_zero("seconds"))
    handshake_timeout: Setting[float] = Setting(above_zero("seconds"))
    tcp_keepalive: Setting[tuple[int, int, int] | None] = Setting(check_keepalive)

    on_connect: Event[[str]] = Event()
    on_disconnect: Event[[str]] = Event()
    on_recv: Event[[str, bytes]] = Event()
    on_ready_to_send: Event[[str, int]] = Event()
    on_loop_pass: Event[[]] = Event()
    on_closing: Event[[]] = Event()
    """``func()``: :meth:`cleanup` is about to close everything. What is sent in this call, or
    was queued before it, goes to the system first. If :meth:`cleanup` was called in a callback,
    only what the system takes at once goes out."""
    on_closed: Event[[]] = Event()
    """``func()``: :meth:`cleanup` has closed everything. Called once, in its thread."""
    on_crowded: Event[[Callable[[str], bool]]] = Event()
    """See :attr:`CrowdedLink.on_crowded`."""
    on_connect_failed: Event[[Any, ConnectFailed]] = Event()
    """``func(address, exception)``: a connector cannot connect, or its connection was refused
    or of no use; or a listener has turned a peer away. ``address`` is that of the connector, or
    of the peer. The exception says why.

    A connector tries again by itself. It calls this and logs a warning once for each reason,
    until a connection has worked; a listener does so once a minute for each reason and remote
    host."""

    def __init__(
        self,
        *,
        max_connections: int = MAX_CONNECTIONS,
        max_connections_per_address: float | None = MAX_CONNECTIONS_PER_ADDRESS,
        listen_backlog: int = LISTEN_BACKLOG,
        reconnect_interval: float = RECONNECT_INTERVAL,
        recv_block_size: int = RECV_BLOCK_SIZE,
        connect_timeout: float = CONNECT_TIMEOUT,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        tcp_keepalive: tuple[int, int, int] | None = TCP_KEEPALIVE,
    ) -> None:
        self.log: logging.Logger = logging.getLogger("snakemq.link")

        self.max_connections = max_connections
        self.max_connections_per_address = max_connections_per_address
        self.listen_backlog = listen_backlog
        self.reconnect_interval = reconnect_interval
        self.recv_block_size = recv_block_size
        self.connect_timeout = connect_timeout
        self.handshake_timeout = handshake_timeout
        self.tcp_keepalive = tcp_keepalive

        self.on_loop_pass = Callback()
        self.on_closing = Callback()
        self.on_closed = Callback()
        self.on_connect_failed = Callback()
        self._loop = loop = Loop(self.on_loop_pass)
        self.time: Callable[[], float] = loop.time
        """See :meth:`LinkInterface.time`. Thread-safe. Not a method of this class, whose call would
        take three times as long."""
        self.give_back: Callable[[], None] = loop.give_back
        """See :meth:`LendingLink.give_back`. Not a method of this class: Ctrl-C could interrupt one
        as it begins, before it gives the loop back."""

        strangers = Strangers(loop, self)
        self._table = table = ConnectionTable(loop, strangers)
        self.on_connect = table.on_connect
        self.on_disconnect = table.on_disconnect
        watch = Watch(loop, table)
        self._receiving = receiving = Receiving(loop, table, watch, self)
        self.on_recv = receiving.on_recv
        self._sending = sending = Sending(loop, table, watch, receiving)
        self.on_ready_to_send = sending.on_ready_to_send
        admission = Admission(loop, table, strangers, self)
        self.on_crowded = admission.on_crowded
        adoption = Adoption(loop, table, watch, receiving, sending, strangers, self)
        self._dialling = Dialling(loop, table, admission, adoption, self)

        self._has_told_closing = False
        self._is_closing = False
        self._has_told_closed = False

    # -- connectors and listeners

    @overload
    def add_connector(
        self,
        address: tuple[str, int],
        reconnect_interval: float | None = None,
        ssl_config: SSLConfig | None = None,
        *,
        ident: str | None = None,
    ) -> tuple[str, int]: ...
    @overload
    def add_connector(
        self,
        address: str | os.PathLike[str],
        reconnect_interval: float | None = None,
        ssl_config: SSLConfig | None = None,
        *,
        ident: str | None = None,
    ) -> str: ...
    @overload
    def add_connector(
        self,
        address: Address | os.PathLike[str],
        reconnect_interval: float | None = None,
        ssl_config: SSLConfig | None = None,
        *,
        ident: str | None = None,
    ) -> Address: ...
    def add_connector(
        self,
        address: Address | os.PathLike[str],
        reconnect_interval: float | None = None,
        ssl_config: SSLConfig | None = None,
        *,
        ident: str | None = None,
    ) -> Address:
        """Keep a connection to ``address``; the loop makes the first attempt. Thread-safe.

        ``address``: ``("host", port)`` or the path of a Unix socket.
        ``reconnect_interval``: longest time between two attempts in seconds.
        ``ident``: the only peer that may be there. The link has no idents, and passes this on to
        the layers above: ``Messaging`` closes a connection to anybody else, and does not introduce
        itself before it knows.

        Returns the address, for :meth:`del_connector`. Raises ``TypeError`` and ``ValueError``
        for a wrong address or one that has a connector already, and whatever loading the
        files of ``ssl_config`` raises.
        """
        self._loop.check_usable()
        address = normalize(address)
        self._dialling.add_connector(address, reconnect_interval, ssl_config, ident)
        return address

    def reconnect_now(self, address: Address | os.PathLike[str] | None = None) -> None:
        """Let connectors that wait for their next attempt dial at once. Thread-safe.

        Call this when they may succeed sooner than their waits suggest, for example after a change
        of the network. If the attempt fails, the next ones follow as quickly as after a connection
        that was lost. Attempts that are under way and connections go on; keep-alive finds out
        which of the connections are dead.

        ``address``: only the connector to this address; ``None``: all. Raises ``KeyError`` when
        there is none.
        """
        self._dialling.reconnect_now(None if address is None else normalize(address))

    def del_connector(self, address: Address | os.PathLike[str]) -> None:
        """Remove a connector and close its connection.

        Raises ``KeyError`` when there is no connector to that address.
        """
        self._loop.check_process()
        self._dialling.del_connector(normalize(address))

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
        return self._dialling.add_listener(normalize(address), ssl_config)

    def del_listener(self, address: Address | os.PathLike[str]) -> None:
        """Stop listening; connections that came in stay.

        ``address``: what :meth:`add_listener` has returned, or what it was given.

        Raises ``KeyError`` when there is no listener on that address, or when several were given it
        (port 0, for example).
        """
        self._loop.check_process()
        self._dialling.del_listener(normalize(address))

    # -- connections

    def send(self, conn_id: str, data: BytesLike) -> None:
        """See :meth:`LinkInterface.send`. Most efficient with 64 KiB and more at a time."""
        self._sending.send(conn_id, data)

    def send_at_once(self, conn_id: str, data: BytesLike) -> bool:
        """See :meth:`SendsAtOnce.send_at_once`."""
        return self._sending.send_at_once(conn_id, data)

    def close(self, conn_id: str) -> None:
        """See :meth:`LinkInterface.close`. A connector will dial again."""
        self._loop.check_process()
        self._table.drop(self._table.get(conn_id), "by this side")

    def pause_reading(self, conn_id: str, reason: object) -> None:
        """See :meth:`LinkInterface.pause_reading`."""
        self._receiving.pause(conn_id, reason)

    def resume_reading(self, conn_id: str, reason: object) -> None:
        """See :meth:`LinkInterface.resume_reading`."""
        self._receiving.resume(conn_id, reason)

    def is_reading(self, conn_id: str) -> bool:
        """See :meth:`LinkInterface.is_reading`."""
        return self._table.get(conn_id).reading

    def unsent_bytes(self, conn_id: str) -> int | None:
        """See :meth:`ProgressLink.unsent_bytes`. ``None`` on systems other than Linux."""
        from ._connections._progress import unsent_bytes  # imports fcntl

        return unsent_bytes(self._table.get(conn_id).sock)

    def unanswered_for(self, conn_id: str) -> float | None:
        """See :meth:`ProgressLink.unanswered_for`. ``None`` except for TCP on Linux."""
        from ._connections._progress import unanswered_for

        return unanswered_for(self._table.get(conn_id).sock)

    def report_failure(self, conn_id: str, error: Exception) -> None:
        """See :meth:`ReportingLink.report_failure`."""
        self._table.get(conn_id).failure = error

    def get_socket_by_conn(self, conn_id: str) -> LinkSocket:
        """Return the socket of a connection, which knows the address and the certificate of the
        other side.

        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """
        return self._table.get(conn_id)

    def peer_credentials(self, conn_id: str) -> PeerCredentials:
        """Return what TLS, or the system, proves about the peer of a connection.

        See :meth:`CredentialsLink.peer_credentials`.
        """
        return self._table.get(conn_id).credentials()

    # -- time

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

        ``poll_timeout``: make a pass at least every this many seconds. Not needed: the loop
        sleeps until there is something to do.
        ``count``: end after this many passes in which something arrived.
        ``runtime``: end after this many seconds.

        Raises :exc:`~snakemq.exceptions.LoopError` when the loop is running already, after
        :meth:`cleanup`, and in a process that inherited the link through a fork: parent and
        child would take each other's bytes. Make the link after the fork.
        """
        self._loop.run(poll_timeout, count, runtime)

    def attach(self) -> None:
        """Make this link the guest of another event loop, in this thread, until :meth:`detach`.

        For asyncio, Qt, GLib and the like, whose loop runs in the place of :meth:`loop`. It watches
        :meth:`fileno` and the time of :meth:`next_deadline`, and then calls :meth:`run_ready`. All
        code of this thread counts as code in the loop from now on.

        Raises :exc:`~snakemq.exceptions.LoopError` as :meth:`loop` does.
        """
        self._loop.attach()

    def fileno(self) -> int:
        """Return the file descriptor that is readable while there is something to do, apart from
        timers. Raises ``OSError`` on systems that have none, such as Windows."""
        return self._loop.fileno()

    def run_ready(self) -> bool:
        """Do what is to be done now, without waiting: one pass of the loop.

        Returns False when the link was stopped or cleaned up: then call :meth:`detach`. Raises
        :exc:`~snakemq.exceptions.LoopError` in a thread that has not called :meth:`attach`.
        """
        self._loop.begin_pass(True)
        return self._loop.end_pass()

    def begin_pass(self, *, poll: bool = True) -> None:
        """Do the first half of :meth:`run_ready`: take in what has arrived, and call the timers
        that are due. Then :meth:`end_pass` must follow.

        A host that lets its own tasks run in between has their messages sent together, and with
        the acknowledgements of those that they got. ``poll=False``: take in nothing, only expect
        tasks that send, so that they need not wake up the loop. Any number of times in a row.
        """
        self._loop.begin_pass(poll)

    def end_pass(self) -> bool:
        """Do the second half of :meth:`run_ready`: send what was queued, and call what other
        threads want to be called."""
        return self._loop.end_pass()

    def next_deadline(self) -> float | None:
        """Return when :meth:`run_ready` is due although :meth:`fileno` is not readable, by the
        clock of :meth:`time`; ``None``: never. Ask after each :meth:`run_ready`: whatever moves
        this time forward later makes the descriptor readable."""
        return self._loop.next_deadline()

    def detach(self) -> None:
        """End what :meth:`attach` has begun. Idempotent. Connections stay open, and idle, until the
        loop runs or is attached again."""
        self._loop.detach()

    def stop(self) -> None:
        """Make :meth:`loop` return at once. Thread-safe.

        While no loop runs, it makes the next call of :meth:`loop` return, so that a thread which is
        still starting its loop cannot miss it.
        """
        self._loop.stop()

    def wakeup_poll(self) -> None:
        """See :meth:`LinkInterface.wakeup_poll`. Thread-safe."""
        self._loop.wake_up()

    def in_loop(self) -> bool:
        """See :meth:`LinkInterface.in_loop`. Thread-safe."""
        return self._loop.in_loop()

    def borrow(self) -> bool:
        """See :meth:`LendingLink.borrow`. Thread-safe."""
        return self._loop.borrow()

    def run_if_idle(self, func: Callable[[], object]) -> bool:
        """See :meth:`IdleLink.run_if_idle`. Thread-safe."""
        return self._loop.run_if_idle(func)

    def cleanup(self) -> None:
        """Close all connections, remove all connectors and listeners, and end this link for good.

        Idempotent. In a callback it also ends the loop. In another thread it has the loop do all
        this and waits until the loop has ended. So ``on_disconnect`` is called in the thread of the
        loop as always, or in the calling thread while no loop runs. Raises
        :exc:`~snakemq.exceptions.LoopError` when the loop does not end within 10 seconds because
        a callback blocks it, and in a process that inherited the link through a fork.
        """
        self._loop.end(self._close_all)

    def _close_all(self) -> None:
        if not self._has_told_closing:
            self._has_told_closing = True
            self._loop.call(self.on_closing)
            self._loop.last_pass()
        is_outermost = not self._is_closing
        self._is_closing = True
        try:
            self._dialling.end()
            self._table.close_all()
        finally:
            if is_outermost:
                self._is_closing = False
        if is_outermost and not self._has_told_closed:
            self._has_told_closed = True
            self._loop.call(self.on_closed)
