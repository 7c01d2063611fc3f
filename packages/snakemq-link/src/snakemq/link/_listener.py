"""Listening sockets."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl

from ._address import (
    Address,
    listening_endpoint,
    public_address,
    remove_stale_unix_socket,
)
from ._tls import SSLConfig

OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener:
    """One listening socket. Raises ``OSError`` when it cannot listen there."""

    def __init__(self, address: Address, ssl_config: SSLConfig | None, backlog: int) -> None:
        self.wanted = address  # the real one may have another host or port
        self.ssl_context: ssl.SSLContext | None = None
        if ssl_config is not None:
            self.ssl_context = ssl_config.get_context(server_side=True)
        try:
            endpoint = listening_endpoint(address)
            self.sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
        except OSError as exc:
            raise _cannot_listen(address, exc) from exc
        try:
            self.sock.setblocking(False)
            if isinstance(address, str):
                remove_stale_unix_socket(address)
            elif os.name == "posix":
                # Only of ports that linger in TIME_WAIT. On Windows it would allow to take over
                # a port that somebody else listens on.
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if endpoint.family == socket.AF_INET6:
                # "::" and "" can both be listened on; a system's default would decide otherwise
                self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.sock.bind(endpoint.sockaddr)
            self.sock.listen(backlog)
            self.address = public_address(endpoint, self.sock)
        except OSError as exc:
            self.sock.close()
            raise _cannot_listen(address, exc) from exc
        self._inode = self._socket_file_inode()

    def accept(self) -> tuple[socket.socket, object]:
        """Raises ``OSError``, also when nobody is waiting."""
        return self.sock.accept()

    def close(self) -> None:
        self.sock.close()
        # The file may be another listener's by now, that took the path over.
        if self._inode is not None and self._inode == self._socket_file_inode():
            assert isinstance(self.address, str)
            with contextlib.suppress(OSError):
                os.unlink(self.address)

    def _socket_file_inode(self) -> int | None:
        if not isinstance(self.address, str):
            return None
        try:
            return os.stat(self.address).st_ino
        except OSError:
            return None


def _cannot_listen(address: Address, exc: OSError) -> OSError:
    return type(exc)(exc.errno, f"cannot listen on {address!r}: {exc.strerror}")
