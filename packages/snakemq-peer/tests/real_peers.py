"""Peers with real sockets and threads."""

from collections.abc import Callable

from snakemq.peer import Peer

MakePeer = Callable[..., Peer]

PATIENCE = 60.0
"""Seconds after which something that has not happened will not happen any more."""
