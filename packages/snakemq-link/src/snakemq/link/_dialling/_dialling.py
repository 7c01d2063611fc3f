"""The listeners and the connectors of a link."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from .._connections._admission import Admission
from .._connections._adoption import Adoption
from .._connections._table import ConnectionTable
from .._loop._loop import Loop
from .._tls._config import SSLConfig
from ._address import Address

if TYPE_CHECKING:
    from .._settings import Settings

    # Imported where they are used first, because few processes need both.
    from ._connector import Connector
    from ._listener import Listener

_log = logging.getLogger("snakemq.link")


class Dialling:
    """Listeners and connectors by their address. See the methods of the link with these names."""

    def __init__(
        self,
        loop: Loop,
        table: ConnectionTable,
        admission: Admission,
        adoption: Adoption,
        settings: Settings,
    ) -> None:
        self.listeners: dict[Address, Listener] = {}
        self.connectors: dict[Address, Connector] = {}
        self._loop = loop
        self._table = table
        self._admission = admission
        self._adoption = adoption
        self._settings = settings
        self._add_lock = threading.Lock()  # no connector comes after end() has begun

    def add_connector(
        self,
        address: Address,
        reconnect_interval: float | None,
        ssl_config: SSLConfig | None,
        ident: str | None = None,
    ) -> None:
        from ._backoff import Backoff
        from ._connector import Connector

        if isinstance(address, tuple) and address[1] == 0:
            raise ValueError("port 0 cannot be dialled")
        if ident is not None and not isinstance(ident, str):
            raise TypeError(f"ident must be None or a str, not {ident!r}")
        if reconnect_interval is None:
            reconnect_interval = self._settings.reconnect_interval
        if not reconnect_interval > 0:
            raise ValueError(
                f"reconnect_interval must be above 0 seconds, not {reconnect_interval!r}"
            )
        backoff = Backoff(reconnect_interval, _random)
        connector = Connector(
            self._loop, self._adoption, self._settings, address, ssl_config, backoff, ident
        )
        with self._add_lock:
            self._loop.check_usable()
            if address in self.connectors:
                raise ValueError(f"there is a connector to {address!r} already")
            self.connectors[address] = connector
        self._loop.call_from_thread(connector.begin)

    def reconnect_now(self, address: Address | None) -> None:
        self._loop.check_usable()
        chosen = list(self.connectors.values()) if address is None else [self.connectors[address]]
        for connector in chosen:
            self._loop.call_from_thread(connector.dial_now)

    def del_connector(self, address: Address) -> None:
        connector = self.connectors.pop(address)
        connector.remove()
        conn = self._table.connection_of.get(connector)
        if conn is not None:
            self._table.drop(conn, "its connector was deleted")

    def add_listener(self, address: Address, ssl_config: SSLConfig | None) -> Address:
        from ._listener import Listener

        if address in self.listeners:
            raise ValueError(f"there is a listener on {address!r} already")
        backlog = self._settings.listen_backlog
        listener = Listener(
            self._loop, self._admission, self._adoption, address, ssl_config, backlog
        )
        try:
            listener.begin()
        except OSError:
            listener.close()
            raise
        self.listeners[listener.address] = listener
        _log.debug("listen on %r", listener.address)
        return listener.address

    def del_listener(self, address: Address) -> None:
        if address not in self.listeners:
            wanted = [real for real, one in self.listeners.items() if one.wanted == address]
            if len(wanted) != 1:
                raise KeyError(f"there are {len(wanted)} listeners on {address!r}")
            address = wanted[0]
        self.listeners.pop(address).close()

    def end(self) -> None:
        """Remove all of them, and take no new ones."""
        with self._add_lock:
            self._loop.take_nothing_new()
        # Their callbacks may remove others meanwhile.
        while self.connectors:
            self.del_connector(next(iter(self.connectors)))
        while self.listeners:
            self.del_listener(next(iter(self.listeners)))


def _random() -> float:
    # The module of that name takes a millisecond to import.
    return int.from_bytes(os.urandom(4), "big") / 2**32
