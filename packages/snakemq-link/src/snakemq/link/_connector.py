"""Dialling: from an address to a connected socket, again and again."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from . import _fork
from ._address import Address, Endpoint, literal, resolve
from ._backoff import Backoff
from ._poller import WRITE, Poller
from ._tls import SSLConfig

if TYPE_CHECKING:
    import ssl

    from ._timers import Timer

_log = logging.getLogger("snakemq.link")

# On Windows it is EWOULDBLOCK. Elsewhere that comes from a Unix socket only, whose listener has a
# full backlog, and nothing is in progress then.
_IN_PROGRESS = {errno.EWOULDBLOCK if os.name == "nt" else errno.EINPROGRESS}


class Driver(Protocol):
    """What a connector needs of its link."""

    connect_timeout: float

    @property
    def poller(self) -> Poller: ...

    def call_later(self, delay: float, func: Callable[[], object]) -> Timer: ...
    def call_from_thread(self, func: Callable[[], object]) -> None: ...
    def adopt_dialled(
        self, sock: socket.socket, remote_peer: object, connector: Connector
    ) -> None: ...


class Connector:
    """Keeps one connection to one address.

    A round of dialling resolves the name and tries its endpoints one after another until one
    answers. When none does, or when the connection ends, the next round is planned::

        waiting --timer--> resolving --> connecting --> connected
           ^                   |             |              |
           +-------------------+-------------+--------------+
    """

    def __init__(
        self, driver: Driver, address: Address, ssl_config: SSLConfig | None, backoff: Backoff
    ) -> None:
        self.address = address
        self.ssl_context: ssl.SSLContext | None = None
        self.server_hostname: str | None = None
        if ssl_config is not None:
            self.ssl_context = ssl_config.get_context(server_side=False)
            self.server_hostname = ssl_config.server_hostname
            if self.server_hostname is None and not isinstance(address, str):
                self.server_hostname = address[0] or "localhost"
            if self.server_hostname is None and self.ssl_context.check_hostname:
                raise ValueError("a Unix socket has no host name; say which server_hostname")
        self._driver = driver
        self._backoff = backoff
        self._removed = False
        self._round = 0  # a late answer of the resolver for an earlier round is ignored
        self._endpoints: list[Endpoint] = []
        self._sock: socket.socket | None = None  # the attempt that is under way
        self._timer: Timer | None = None  # the next round, or the deadline of the attempt
        self._reasons: list[str] = []  # why the endpoints of this round could not be reached
        self._warned = False  # since it was connected last
        _fork.register(self)

    def begin(self) -> None:
        """The first round, unless the connector was removed before the loop came to it."""
        if not self._removed:
            self.dial()

    def dial(self) -> None:
        """Begin a round."""
        self._round += 1
        endpoint = literal(self.address)
        if endpoint is not None:
            self._connect_to([endpoint])
            return
        # getaddrinfo() blocks for as long as the name server likes, so it has a thread of its
        # own; a daemon, because nothing can interrupt it and it must not hold up the exit.
        resolver = threading.Thread(
            target=self._resolve_in_thread,
            args=(self._round,),
            name=f"snakemq-resolve-{self.address[0]}",
            daemon=True,
        )
        try:
            resolver.start()
        except RuntimeError as exc:  # the system has no thread to spare now
            self._round_failed(f"cannot resolve {self.address[0]!r}: {exc}")

    def remove(self) -> None:
        """Stop for good. The connection, if there is one, is the link's to close."""
        self._removed = True
        self._abandon_attempt()

    def abandon(self) -> None:
        """See :class:`_fork.Owner`."""
        self._removed = True
        if self._sock is not None:
            self._sock.close()

    def connection_ended(self, lasted: float | None) -> None:
        """``lasted``: seconds for which the connection was usable; ``None``: it never was."""
        if lasted is not None:
            self._warned = False
            self._backoff.connection_lasted(lasted)
        self._plan_next_round()

    def failure_level(self) -> int:
        """How loudly to log a failure: the first one since it was connected is for a person."""
        level = logging.INFO if self._warned else logging.WARNING
        self._warned = True
        return level

    def _round_failed(self, reason: str) -> None:
        _log.log(
            self.failure_level(), "cannot connect to %r: %s; trying again", self.address, reason
        )
        self._plan_next_round()

    def _plan_next_round(self) -> None:
        if not self._removed:
            self._timer = self._driver.call_later(self._backoff.next_delay(), self.dial)

    def _resolve_in_thread(self, round_: int) -> None:
        assert not isinstance(self.address, str)
        answer: list[Endpoint] | str
        try:
            answer = resolve(self.address)
        except OSError as exc:
            answer = f"cannot resolve {self.address[0]!r}: {exc}"
        self._driver.call_from_thread(lambda: self._resolved(round_, answer))

    def _resolved(self, round_: int, answer: list[Endpoint] | str) -> None:
        if self._removed or round_ != self._round:
            return
        if isinstance(answer, str):
            self._round_failed(answer)
        else:
            self._connect_to(answer)

    def _connect_to(self, endpoints: list[Endpoint]) -> None:
        self._endpoints = endpoints
        self._reasons = []
        self._try_next_endpoint()

    def _try_next_endpoint(self) -> None:
        while self._endpoints:
            endpoint = self._endpoints.pop(0)
            try:
                sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
            except OSError as exc:  # no descriptors left, or a family this system lacks
                self._reasons.append(f"cannot make a socket: {exc}")
                continue
            sock.setblocking(False)
            error = sock.connect_ex(endpoint.sockaddr)
            if error in _IN_PROGRESS:
                self._sock = sock
                self._driver.poller.register(sock.fileno(), WRITE, self._on_event)
                self._timer = self._driver.call_later(
                    self._driver.connect_timeout, self._attempt_timed_out
                )
                return
            if self._attempt_finished(sock, error):
                return
        # One reason for several endpoints is the rule: localhost, where nobody listens.
        self._round_failed(", ".join(dict.fromkeys(self._reasons)))

    def _on_event(self, mask: int) -> None:
        sock = self._sock
        if sock is None:
            return
        self._forget_attempt(sock)
        if not self._attempt_finished(sock, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            self._try_next_endpoint()

    def _attempt_timed_out(self) -> None:
        reason = f"no answer in {self._driver.connect_timeout:g} s"
        _log.info("connect %r: %s", self.address, reason)
        self._reasons.append(reason)
        self._abandon_attempt()
        self._try_next_endpoint()

    def _attempt_finished(self, sock: socket.socket, error: int) -> bool:
        """True if the socket is connected and was handed over."""
        try:
            if error:
                raise OSError(error, os.strerror(error))
            remote_peer = _peer_of(sock)
        except OSError as exc:
            _log.debug("connect %r: %s", self.address, exc.strerror)
            self._reasons.append(exc.strerror or str(exc))
            sock.close()
            return False
        self._endpoints = []
        self._driver.adopt_dialled(sock, remote_peer or self.address, self)
        return True

    def _abandon_attempt(self) -> None:
        if self._sock is not None:
            sock = self._sock
            self._forget_attempt(sock)
            sock.close()
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _forget_attempt(self, sock: socket.socket) -> None:
        self._sock = None
        with contextlib.suppress(KeyError):
            self._driver.poller.unregister(sock.fileno())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _peer_of(sock: socket.socket) -> object:
    """The address of the other side. Raises ``OSError`` when there is none.

    Reset since it was made, for example; or the socket is connected to itself: dialling a local
    port on which nobody listens can, rarely, pick that very port as its own and so meet itself,
    in TCP's simultaneous open. Quick retries make it happen sooner or later.
    """
    peer = sock.getpeername()
    if peer and peer == sock.getsockname():
        raise OSError(errno.ECONNREFUSED, "connected to itself")
    return peer
