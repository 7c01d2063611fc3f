"""Dialling: from an address to a connected socket, again and again."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from functools import partial
from typing import TYPE_CHECKING

from snakemq.exceptions import ConnectFailed

from .. import forks
from .._connections._adoption import Adoption
from .._connections._socket import STABLE_AFTER, LinkSocket
from .._failures import FailureSeries
from .._loop._loop import Loop
from .._loop._poller import WRITE
from .._tls._config import SSLConfig, check_server_hostname
from .._tls._errors import is_refusal
from ._address import Address
from ._backoff import Backoff
from ._endpoint import Endpoint, literal
from ._lookup import Answer, LookUp
from ._race import Race, starting_order

if TYPE_CHECKING:
    from .._loop._timers import Timer
    from .._settings import Settings

_log = logging.getLogger("snakemq.link")

# On Windows it is EWOULDBLOCK. Elsewhere that comes from a Unix socket only, whose listener has a
# full backlog, and nothing is in progress then.
_IN_PROGRESS = {errno.EWOULDBLOCK if os.name == "nt" else errno.EINPROGRESS}

_FAILED_EARLY = 30.0
"""Seconds. A connection that fails within this time was never of use: introductions, refusals and
what they wait for take no longer."""


class Connector:
    """Keeps one connection to one address.

    A round of dialling resolves the name and lets its endpoints race until one answers. When none
    does in time, or when the connection ends, the next round is planned::

        waiting --timer--> resolving --> racing --> connected
           ^                   |           |            |
           +-------------------+-----------+------------+
    """

    def __init__(
        self,
        loop: Loop,
        adoption: Adoption,
        settings: Settings,
        address: Address,
        ssl_config: SSLConfig | None,
        backoff: Backoff,
        ident: str | None = None,
    ) -> None:
        self.address: Address = address
        self.ident: str | None = ident
        self.server_hostname: str | None = None
        self._ssl_config = ssl_config
        if ssl_config is not None:
            context = ssl_config.current_context(server_side=False)
            self.server_hostname = ssl_config.server_hostname
            if self.server_hostname is not None:
                check_server_hostname(context, self.server_hostname)
            elif not isinstance(address, str):
                self.server_hostname = address[0] or "localhost"
            if self.server_hostname is None and context.check_hostname:
                raise ValueError("a Unix socket has no host name; say which server_hostname")
        self._loop = loop
        self._adoption = adoption
        self._settings = settings
        self._backoff = backoff
        self._failures = FailureSeries()
        self._removed = False
        self._look_up = None if isinstance(address, str) else LookUp(loop, settings, address)
        self._race: Race | None = None
        self._attempts: dict[socket.socket, Endpoint] = {}  # those that are under way
        self._worked_last: Endpoint | None = None
        self._reasons: list[str] = []  # why the endpoints of this round could not be reached
        self._next_attempt: Timer | None = None
        self._next_round: Timer | None = None  # while it waits
        self._timer: Timer | None = None  # the deadline of a round, or that all is well again
        forks.register(self)

    def begin(self) -> None:
        """Begin the first round, unless the connector was removed before the loop came to it."""
        if not self._removed:
            self.dial()

    def dial(self) -> None:
        """Begin a round."""
        self._next_round = None
        self._reasons = []
        self._timer = self._loop.call_later(self._settings.connect_timeout, self._round_timed_out)
        endpoint = literal(self.address)
        if endpoint is not None:
            self._begin_race([endpoint])
        else:
            assert self._look_up is not None
            self._look_up.ask(self._resolved)

    def dial_now(self) -> None:
        """Begin the next round at once, if this waits for it, and wait for short times again."""
        if self._next_round is not None:
            self._next_round.cancel()
            self._backoff.begin_again()
            self.dial()

    def remove(self) -> None:
        """Stop for good. The link closes the connection, if there is one."""
        self._removed = True
        if self._next_round is not None:
            self._next_round.cancel()
            self._next_round = None
        self._end_round()

    def abandon(self) -> None:
        """See :class:`forks.Owner`."""
        self._removed = True
        for sock in self._attempts:
            sock.close()

    # -- a connection

    def connected(self, conn: LinkSocket) -> None:
        """A connection is ready for use. The other side may still refuse it."""
        if self._failures.count:
            self._timer = self._loop.call_later(STABLE_AFTER, lambda: self._look_at(conn))

    def connection_ended(self, lasted: float | None, failure: Exception | None) -> None:
        """The connection is gone, so plan the next round.

        ``lasted``: seconds for which it was usable; ``None``: it never was. ``failure``: why it was
        of no use, if that is known.
        """
        self._cancel_timer()
        if failure is None and lasted is not None:
            self._is_well()
        if is_refusal(failure) and _is_early(lasted):
            self._backoff.refused()
        elif failure is not None and (lasted is None or lasted < STABLE_AFTER):
            self._backoff.closed_at_once()
        elif lasted is not None:
            self._backoff.connection_lasted(lasted)
        self._plan_next_round()
        if failure is not None:
            what = "cannot connect to" if _is_early(lasted) else "lost the connection to"
            self._tell(str(failure), failure, what)

    def _look_at(self, conn: LinkSocket) -> None:
        if conn.has_received and conn.failure is None:
            self._is_well()

    def _is_well(self) -> None:
        failed = self._failures.end()
        if failed:
            _log.info("connected again to %r after %d failed attempts", self.address, failed)

    # -- rounds

    def _plan_next_round(self) -> None:
        if not self._removed:
            self._next_round = self._loop.call_later(self._backoff.next_delay(), self.dial)

    def _round_failed(self) -> None:
        self._end_round()
        self._plan_next_round()
        # Several endpoints often fail for one reason: localhost, where nobody listens.
        self._tell(", ".join(dict.fromkeys(self._reasons)), None)

    def _tell(self, reason: str, cause: Exception | None, what: str = "cannot connect to") -> None:
        """Report a failure, after the next round is planned: Ctrl-C may come in a callback."""
        is_news = self._failures.add(reason)
        error = ConnectFailed(f"{what} {self.address!r}: {reason}", self.address)
        error.__cause__ = cause
        _log.log(logging.WARNING if is_news else logging.DEBUG, "%s; trying again", error)
        if is_news:
            self._loop.call(self._settings.on_connect_failed, self.address, error)

    def _round_timed_out(self) -> None:
        reason = f"no answer in {self._settings.connect_timeout:g} s"
        if self._look_up is not None and self._look_up.is_waiting:
            reason = f"the look-up of {self.address[0]!r} hangs: {reason}"
        self._reasons.append(reason)
        self._round_failed()

    def _end_round(self) -> None:
        self._cancel_timer()
        if self._look_up is not None:
            self._look_up.forget()
        self._race = None
        if self._next_attempt is not None:
            self._next_attempt.cancel()
            self._next_attempt = None
        for sock in list(self._attempts):
            self._forget_attempt(sock)
            sock.close()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _resolved(self, answer: Answer) -> None:
        if isinstance(answer, str):
            self._reasons.append(answer)
            self._round_failed()
        else:
            self._begin_race(answer)

    # -- attempts

    def _begin_race(self, endpoints: list[Endpoint]) -> None:
        if not endpoints:
            self._reasons.append(f"{self.address[0]!r} has no address")
        order = starting_order(endpoints, self._worked_last)
        self._race = Race(order, self._settings.connect_timeout)
        self._go_on()

    def _go_on(self) -> None:
        """Begin the attempts whose time has come."""
        if self._next_attempt is not None:
            self._next_attempt.cancel()
            self._next_attempt = None
        race = self._race
        while race is not None and race is self._race:
            endpoint = race.start(self._loop.time())
            if endpoint is None:
                break
            self._try(race, endpoint)
        if race is not self._race or race is None:
            return  # it is won, or the connector was removed by a callback
        if race.is_lost:
            self._round_failed()
        elif race.next_at is not None:
            delay = max(0.0, race.next_at - self._loop.time())
            self._next_attempt = self._loop.call_later(delay, self._go_on)

    def _try(self, race: Race, endpoint: Endpoint) -> None:
        try:
            sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
        except OSError as exc:  # no descriptors left, or a family this system lacks
            self._attempt_failed(race, f"cannot make a socket: {exc}")
            return
        sock.setblocking(False)
        error = sock.connect_ex(endpoint.sockaddr)
        if error in _IN_PROGRESS:
            try:
                self._loop.poller.register(sock.fileno(), WRITE, partial(self._on_event, sock))
            except OSError as exc:  # no memory, or no room in epoll
                sock.close()
                self._attempt_failed(race, f"cannot watch the socket: {exc}")
            else:
                self._attempts[sock] = endpoint
        else:
            self._attempt_decided(race, sock, endpoint, error)

    def _on_event(self, sock: socket.socket, mask: int) -> None:
        endpoint, race = self._attempts.get(sock), self._race
        if endpoint is None or race is None:
            return  # another attempt was faster in this very pass
        self._forget_attempt(sock)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._attempt_decided(race, sock, endpoint, error)
        self._go_on()

    def _attempt_decided(
        self, race: Race, sock: socket.socket, endpoint: Endpoint, error: int
    ) -> None:
        try:
            if error:
                raise OSError(error, os.strerror(error))
            remote_peer = _peer_of(sock)
        except OSError as exc:
            _log.debug("connect %r at %r: %s", self.address, endpoint.sockaddr, exc.strerror)
            sock.close()
            self._attempt_failed(race, exc.strerror or str(exc))
        else:
            self._end_round()
            self._worked_last = endpoint
            self._adoption.adopt(sock, remote_peer or self.address, self._ssl_config, self)

    def _attempt_failed(self, race: Race, reason: str) -> None:
        self._reasons.append(reason)
        race.fail(self._loop.time())

    def _forget_attempt(self, sock: socket.socket) -> None:
        del self._attempts[sock]
        with contextlib.suppress(KeyError):
            self._loop.poller.unregister(sock.fileno())


def _is_early(lasted: float | None) -> bool:
    return lasted is None or lasted < _FAILED_EARLY


def _peer_of(sock: socket.socket) -> object:
    """Return the address of the other side. Raises ``OSError`` when there is none.

    The connection may have been reset already. Or the socket is connected to itself: when it dials
    a local port on which nobody listens, the system may pick that very port as its own, and it
    meets itself in TCP's simultaneous open. With quick retries that happens sooner or later.
    """
    peer = sock.getpeername()
    if peer and peer == sock.getsockname():
        raise OSError(errno.ECONNREFUSED, "connected to itself")
    return peer
