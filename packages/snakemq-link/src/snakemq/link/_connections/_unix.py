"""The process at the other end of a Unix socket."""

from __future__ import annotations

import socket
import struct

from .._credentials import UnixCredentials

_UCRED = struct.Struct("=iII")  # see unix(7)


def unix_credentials(sock: socket.socket) -> UnixCredentials | None:
    """Return which process has connected, or listens; ``None`` if the system does not tell it."""
    if not hasattr(socket, "SO_PEERCRED") or sock.family != socket.AF_UNIX:
        return None
    try:
        answer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except OSError:  # closed meanwhile
        return None
    pid, uid, gid = _UCRED.unpack(answer)
    return UnixCredentials(pid=pid, uid=uid, gid=gid)
