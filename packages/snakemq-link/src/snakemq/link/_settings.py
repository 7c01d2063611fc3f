"""What the parts of a link read of it. Imported by type checkers only."""

from __future__ import annotations

from typing import Any, Protocol

from snakemq.callbacks import Callback
from snakemq.exceptions import ConnectFailed


class Settings(Protocol):
    """The settings of :class:`~snakemq.link.Link`, and the event that says what fails.

    Its parts look them up whenever they need them, because users may change them at any time.
    """

    max_connections: int
    max_connections_per_address: float | None
    listen_backlog: int
    reconnect_interval: float
    recv_block_size: int
    connect_timeout: float
    handshake_timeout: float
    tcp_keepalive: tuple[int, int, int] | None
    on_connect_failed: Callback[[Any, ConnectFailed]]
