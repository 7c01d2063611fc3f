"""Options of TCP connections."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence

# macOS has another name for the first one. Where a system lacks an option its own value holds.
_NAMES = (
    "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE",
    "TCP_KEEPINTVL",
    "TCP_KEEPCNT",
)
_LARGEST = (32767, 32767, 127)


def check_keepalive(name: str, keepalive: object) -> None:
    """Raise ``TypeError`` or ``ValueError`` for what Linux would refuse."""
    if keepalive is None:
        return
    if not isinstance(keepalive, Sequence):
        raise TypeError(f"{name} must be None or three whole numbers, not {keepalive!r}")
    if len(keepalive) != len(_LARGEST) or not all(
        isinstance(value, int) and 0 < value <= largest
        for value, largest in zip(keepalive, _LARGEST, strict=True)
    ):
        raise ValueError(
            f"{name} must be None or (seconds of silence, seconds between probes, probes), "
            f"whole numbers from 1 to {_LARGEST}, not {keepalive!r}"
        )


def prepare(sock: socket.socket, keepalive: tuple[int, int, int] | None) -> None:
    """Set the options of an established connection; both sides do.

    There is no TCP_USER_TIMEOUT: it would end the connection to a peer that lives, but does not
    read for a while because it is busy.
    """
    with contextlib.suppress(OSError):  # reset meanwhile; reading will tell
        # The layers above write whole batches; waiting for more would only delay them.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if keepalive is None:
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in zip(_NAMES, keepalive, strict=True):
            option = getattr(socket, name, None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
