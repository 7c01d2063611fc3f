"""Addresses: ``(host, port)`` for TCP over IPv4 and IPv6, a path for Unix sockets."""

import os
import re
import socket
import sys
from typing import TypeAlias, overload

Address: TypeAlias = "tuple[str, int] | str"
"""``("host", port)`` or the path of a Unix socket."""

_UNIX_PATH_LIMIT = 107 if sys.platform == "linux" else 103
"""Bytes. What fits into ``sun_path``, of 108 bytes on Linux and 104 on the BSDs and macOS."""


_LIKE_HOST_AND_PORT = r"(?P<host>[^/\\]*):(?P<port>[0-9]+)"


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
                    f"{path!r} is not an address: write {(host, port)!r}, a tuple, for TCP, "
                    f"or './{path}' if the path of a Unix socket is meant"
                )
            path = os.path.join(os.curdir, path)  # so that it is an address as a string, too
        if not path:
            raise ValueError("the path of a Unix socket must not be empty")
        if not hasattr(socket, "AF_UNIX"):
            raise ValueError(f"this system has no Unix sockets, so {path!r} is not an address")
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
