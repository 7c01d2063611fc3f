"""What the socket module makes of an address: where to dial, and where to listen."""

import contextlib
import os
import socket
import stat
from typing import NamedTuple

from ._address import Address


class Endpoint(NamedTuple):
    """An address as the socket module needs it."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int] | str


def literal(address: Address, *, listening: bool = False) -> Endpoint | None:
    """Return the endpoint of an address that needs no name resolution, else ``None``.

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
    """Return where to bind. Resolves a name, which may block. Raises ``OSError``."""
    endpoint = literal(address, listening=True)
    if endpoint is None:
        assert not isinstance(address, str)
        endpoints = resolve(address)
        # 1.6 listened on IPv4 only, and its peers dial nothing else, so that comes first.
        endpoint = next((e for e in endpoints if e.family == socket.AF_INET), endpoints[0])
    return endpoint


def public_address(endpoint: Endpoint, sock: socket.socket) -> Address:
    """Return the address that a socket is bound to, in the form that a connector takes."""
    name = sock.getsockname()
    if endpoint.family == socket.AF_INET6 and name[3]:  # a link-local address is useless without it
        return f"{name[0]}%{name[3]}", name[1]
    if endpoint.family in (socket.AF_INET, socket.AF_INET6):
        return name[0], name[1]
    return os.fsdecode(name)


def remove_stale_unix_socket(path: str) -> None:
    """Remove a socket file if its listener has died."""
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
