"""Listening sockets."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket

from .. import forks
from .._connections._admission import Admission, group_of
from .._connections._adoption import Adoption
from .._connections._socket import WOULD_BLOCK
from .._loop._loop import Loop
from .._loop._poller import READ
from .._tls._config import SSLConfig
from ._address import Address
from ._endpoint import listening_endpoint, public_address, remove_stale_unix_socket

_log = logging.getLogger("snakemq.link")

_GONE = {
    getattr(errno, name, None)
    for name in (
        "ECONNABORTED",
        "ECONNRESET",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "ENETDOWN",
        "ENETUNREACH",
        "ENONET",
        "ENOPROTOOPT",
        "EOPNOTSUPP",
        "EPERM",
        "EPROTO",
        "ETIMEDOUT",
    )
}
"""Errors of accept(2) that concern one connection, which failed before it was accepted."""

_ACCEPTS_PER_PASS = 64
_ACCEPT_PAUSE = 0.5


class Listener:
    """One listening socket. Raises ``OSError`` when it cannot listen there."""

    def __init__(
        self,
        loop: Loop,
        admission: Admission,
        adoption: Adoption,
        address: Address,
        ssl_config: SSLConfig | None,
        backlog: int,
    ) -> None:
        self._loop = loop
        self._admission = admission
        self._adoption = adoption
        self._closed = False
        self.wanted = address  # the real one may have another host or port
        self._ssl_config = ssl_config
        if ssl_config is not None:
            ssl_config.current_context(server_side=True)  # raises its errors here
        try:
            endpoint = listening_endpoint(address)
            self.sock: socket.socket = socket.socket(endpoint.family, socket.SOCK_STREAM)
        except OSError as exc:
            raise _cannot_listen(address, exc) from exc
        try:
            self.sock.setblocking(False)
            if isinstance(address, str):
                remove_stale_unix_socket(address)
            elif os.name == "posix":
                # Reuses only ports that linger in TIME_WAIT. On Windows it would take over a port
                # on which another process listens.
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if endpoint.family == socket.AF_INET6:
                # so that one can listen on both "::" and "", whatever the system's default
                self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.sock.bind(endpoint.sockaddr)
            self.sock.listen(backlog)
            self.address: Address = public_address(endpoint, self.sock)
        except OSError as exc:
            self.sock.close()
            raise _cannot_listen(address, exc) from exc
        self._inode = self._socket_file_inode()
        forks.register(self)

    def begin(self) -> None:
        """Accept connections, from now on or again."""
        if not self._closed:
            self._loop.poller.register(self.sock.fileno(), READ, self._on_acceptable)

    def _on_acceptable(self, mask: int) -> None:
        for _ in range(_ACCEPTS_PER_PASS):
            if self._closed:
                return  # by a callback
            try:
                sock, remote_peer = self.sock.accept()
            except WOULD_BLOCK:
                return
            except OSError as exc:
                if exc.errno not in _GONE:  # no descriptors, no memory, no listener any more
                    self._pause(exc)
                    return
                _log.info("accept on %r: %s", self.address, exc)
            else:
                self._take(sock, remote_peer)

    def _take(self, sock: socket.socket, remote_peer: object) -> None:
        group = group_of(remote_peer)
        if self._admission.admits(sock, remote_peer, group):
            self._adoption.adopt(sock, remote_peer, self._ssl_config, group=group)

    def _pause(self, exc: OSError) -> None:
        # The waiting connection keeps the listener readable: without a pause the loop would spin.
        self._loop.call_later(_ACCEPT_PAUSE, self._go_on)
        self._loop.poller.unregister(self.sock.fileno())
        self._admission.out_of_resources(self.address, exc, _ACCEPT_PAUSE)

    def _go_on(self) -> None:
        try:
            self.begin()
        except OSError as exc:  # no memory for that either
            _log.error("cannot watch %r: %s", self.address, exc)
            self._loop.call_later(_ACCEPT_PAUSE, self._go_on)

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(KeyError):  # while accepting is paused
            self._loop.poller.unregister(self.sock.fileno())
        self.sock.close()
        # Another listener may have taken over the path, so that the file is not ours.
        if self._inode is not None and self._inode == self._socket_file_inode():
            assert isinstance(self.address, str)
            with contextlib.suppress(OSError):
                os.unlink(self.address)

    def abandon(self) -> None:
        """See :class:`forks.Owner`."""
        self._closed = True
        self.sock.close()

    def _socket_file_inode(self) -> int | None:
        if not isinstance(self.address, str):
            return None
        try:
            return os.stat(self.address).st_ino
        except OSError:
            return None


def _cannot_listen(address: Address, exc: OSError) -> OSError:
    return type(exc)(exc.errno, f"cannot listen on {address!r}: {exc.strerror}")
