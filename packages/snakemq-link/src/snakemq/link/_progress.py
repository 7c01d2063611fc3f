"""How far the system has got with what it was given to send."""

from __future__ import annotations

import socket
import sys

_SIOCOUTQ = 0x5411  # see tcp(7) and unix(7)


if sys.platform == "linux":
    import fcntl

    def unsent_bytes(sock: socket.socket) -> int | None:
        """Bytes that the other side has not acknowledged. ``None`` if it cannot be told."""
        try:
            answer = fcntl.ioctl(sock.fileno(), _SIOCOUTQ, bytes(4))
        except (OSError, ValueError):  # ValueError: closed
            return None
        return int.from_bytes(answer, sys.byteorder)

else:

    def unsent_bytes(sock: socket.socket) -> int | None:
        """Other systems do not tell it."""
        return None
