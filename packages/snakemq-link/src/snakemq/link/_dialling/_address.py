"""Addresses: ``(host, port)`` for TCP over IPv4 and IPv6, a path for Unix sockets."""

import contextlib
import os
import re
import socket
import stat
import sys
from typing import NamedTuple, TypeAlias, overload

Address: TypeAlias = "tuple[str, int] | str"
"""``("host", port)`` or the path of a Unix socket."""

_UNIX_PATH_LIMIT = 107 if sys.platform == "linux" else 103
"""Bytes. What fits into ``sun_path``, of 108 bytes on Linux and 104 on the BSDs and macOS."""


_LIKE_HOST_AND_PORT = r"(?P<host>[^/\\]*):(?P<port>[0-9]+)"


class Endpoint(NamedTuple):
    """What the socket module needs to know."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int] | str


@overload
def normalize(address: tuple[str, int]) -> tuple[str, int]: ...
@overload
def normalize(address: str | os.PathLike[str]) -> str: ...
@overload
def normalize(address: object) -> Address: ...
def normalize(address: object) -> Address:
    """Check an address given by the user; paths become ``str``.

    Raises ``TypeError`` and ``ValueError``.
    """
    if isinstance(address, (str, bytes, os.PathLike)):
        path = os.fsdecode(address)
        if meant := re.fullmatch(_LIKE_HOST_AND_PORT, path):
            if isinstance(address, str):
                host, port = meant["host"].strip("[]"), int(meant["port"])
                raise ValueError(
                    f"{path!r} is no address: write {(host, port)!r}, a tuple, for TCP, "
                    f"or './{path}' if the path of a Unix socket is meant"
                )
            path = os.path.join(os.curdir, path)  # so that it is an address as a string, too
        if not path:
            raise ValueError("the path of a Unix socket must not be empty")
        if not hasattr(socket, "AF_UNIX"):
            raise ValueError(f"this system has no Unix sockets, so {path!r} is no address")
        if "\0" in path or len(os.fsencode(path)) > _UNIX_PATH_LIMIT:
            raise ValueError(
                f"the path of a Unix socket has at most {_UNIX_PATH_LIMIT} bytes, none of them "
                f"zero: {path!r}"
            )
        return path
    if not isinstance(address, (tuple, list)) or len(address) != 2:
        raise TypeError(f'an address is ("host", port) or the path of a Unix socket: {address!r}')
    host, port = address
    if not isinstance(host, str) or not isinstance(port, int):
        raise TypeError(f'an address is ("host", port), a string and an integer: {address!r}')
    if "\0" in host:
        raise ValueError(f"{host!r} is not a host name")
    if not 0 <= port <= 65535:
        raise ValueError(f"a port is 0 to 65535, not {port}")
    return host, port


def literal(address: Address, *, listening: bool = False) -> Endpoint | None:
    """The endpoint of an address that needs no name resolution, else ``None``.

    An empty host means all IPv4 interfaces for a listener and this machine for a connector.
    """
    if isinstance(address, str):
        return Endpoint(socket.AF_UNIX, address)
    host, port = address
    if not host:
        host = "0.0.0.0" if listening else "127.0.0.1"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):  # the look-up meets the same, and says so
        return None
    family, _, _, _, sockaddr = found[0]
    return Endpoint(family, sockaddr)  # type: ignore[arg-type]


def resolve(address: tuple[str, int]) -> list[Endpoint]:
    """Ask the system for the endpoints of a name, best first. Blocks. Raises ``OSError``."""
    host, port = address
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as exc:
        raise OSError(f"{host!r} is not a host name: {exc}") from exc
    endpoints = [Endpoint(family, sockaddr) for family, _, _, _, sockaddr in found]  # type: ignore[arg-type]
    return list(dict.fromkeys(endpoints))


def listening_endpoint(address: Address) -> Endpoint:
    """Where to bind. Resolves a name, which may block. Raises ``OSError``."""
    endpoint = literal(address, listening=True)
    if endpoint is None:
        assert not isinstance(address, str)
        endpoints = resolve(address)
        # 1.6 listened on IPv4 only, and its peers dial nothing else, so that comes first.
        endpoint = next((e for e in endpoints if e.family == socket.AF_INET), endpoints[0])
    return endpoint


def public_address(endpoint: Endpoint, sock: socket.socket) -> Address:
    """The address a socket is bound to, in the form that a connector takes."""
    name = sock.getsockname()
    if endpoint.family == socket.AF_INET6 and name[3]:  # a link-local one is nothing without it
        return f"{name[0]}%{name[3]}", name[1]
    if endpoint.family in (socket.AF_INET, socket.AF_INET6):
        return name[0], name[1]
    return os.fsdecode(name)


def remove_stale_unix_socket(path: str) -> None:
    """Remove the socket file of a listener that has died, and of no other."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # a listener with a full backlog must not make us wait
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                os.unlink(path)
        except OSError:
            pass
