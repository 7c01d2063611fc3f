"""How much of what was sent the other side has acknowledged, and how late it is with the rest."""

from __future__ import annotations

import socket
import struct
import sys

_SIOCOUTQ = 0x5411  # see tcp(7) and unix(7)

# Offsets in struct tcp_info of linux/tcp.h, which only grows at its end.
_TCP_INFO_SIZE = 60
_RETRANSMITS = 2  # how often in a row the oldest segment under way was sent again
_PROBES = 3  # window probes that were not answered
_LAST_ACK_RECV = 56  # milliseconds since the last acknowledgement
_UINT = struct.Struct("=I")


if sys.platform == "linux":
    import fcntl

    def unsent_bytes(sock: socket.socket) -> int | None:
        """Return how many bytes the other side has not acknowledged; ``None`` if unknown."""
        try:
            answer = fcntl.ioctl(sock.fileno(), _SIOCOUTQ, bytes(4))
        except (OSError, ValueError):  # ValueError: closed
            return None
        return int.from_bytes(answer, sys.byteorder)

    def unanswered_for(sock: socket.socket) -> float | None:
        """Return for how many seconds the other side's system has owed an acknowledgement; ``None``
        if unknown, as for a Unix socket."""
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        except (OSError, ValueError):
            return None
        if sock.family == socket.AF_UNIX or len(info) < _TCP_INFO_SIZE:
            return None
        # Data is late once the system sends it again, after waiting for longer than usual on this
        # path. While the other side has no room nothing is under way, and the system probes it. An
        # answer to a probe takes up to 0.5 s, so one may still be missing.
        is_late = info[_RETRANSMITS] > 0 or info[_PROBES] > 1
        (last_ack,) = _UINT.unpack_from(info, _LAST_ACK_RECV)
        return last_ack / 1000 if is_late else 0.0

else:

    def unsent_bytes(sock: socket.socket) -> int | None:
        """Return ``None``, because only Linux knows it."""
        return None

    def unanswered_for(sock: socket.socket) -> float | None:
        """Return ``None``, because only Linux knows it."""
        return None
