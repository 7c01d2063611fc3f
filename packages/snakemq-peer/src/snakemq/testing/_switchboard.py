"""Connects links in memory by their addresses."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from functools import partial

from snakemq.exceptions import ConnectFailed
from snakemq.link import Address, TimerHandle
from snakemq.link.testing import MemoryLink, MemoryNetwork

from ._subscriber import Subscriber

RECONNECT_INTERVAL = 1.0
"""Longest time that a connector waits after its connection has ended, in seconds."""

_FIRST_FREE_PORT = 49152

_ALL_INTERFACES = ("", "0.0.0.0", "::")
_THIS_HOST = ("localhost", "127.0.0.1", "::1")


def address_of(ident: str) -> str:
    """Return the address at which each peer can be reached without listening anywhere."""
    return f"memory:{ident}"


def normal(address: object) -> Address:
    """Return an address in one form. Raises ``TypeError`` for something else."""
    if isinstance(address, (str, os.PathLike)):
        return str(os.fspath(address))
    if isinstance(address, (tuple, list)) and len(address) == 2:
        host, port = address
        if isinstance(host, str) and isinstance(port, int):
            return host, port
    raise TypeError(f'an address is ("host", port) or the path of a Unix socket: {address!r}')


class Listener:
    """An address at which a link can be reached."""

    def __init__(self, link: MemoryLink, address: Address, *, is_tls: bool) -> None:
        self.link = link
        self.address = address
        self.is_tls = is_tls

    def answers(self, address: Address) -> bool:
        """Is this what one reaches at an address?"""
        if isinstance(address, str) or isinstance(self.address, str):
            return address == self.address
        hosts = (address[0], self.address[0])
        return address[1] == self.address[1] and (
            hosts[0] == hosts[1]
            or any(host in _ALL_INTERFACES for host in hosts)
            or all(host in _THIS_HOST for host in hosts)
        )


class Connector:
    """Keeps a link connected to an address: it dials when that may succeed, and some time after its
    connection has ended. For the loop only."""

    def __init__(
        self,
        link: Subscriber,
        address: Address,
        *,
        is_tls: bool,
        interval: float | None,
        ident: str | None,
    ) -> None:
        self.link = link
        self.address = address
        self.is_tls = is_tls
        self.ident = ident
        self.conn_id: str | None = None
        """The last connection, on this side."""
        self.interval = min(RECONNECT_INTERVAL, interval or RECONNECT_INTERVAL)
        self.timer: TimerHandle | None = None
        self.is_closed = False
        self._told: set[str] = set()

    def failed(self, reason: str) -> None:
        """Report why there is no connection, once for each reason."""
        if reason not in self._told:
            self._told.add(reason)
            error = ConnectFailed(f"cannot connect to {self.address!r}: {reason}", self.address)
            self.link.machine.call(self.link.on_connect_failed, self.address, error)

    def connected(self, conn_id: str) -> None:
        self.conn_id = conn_id
        self._told.clear()

    def close(self) -> None:
        self.is_closed = True
        if self.timer is not None:
            self.timer.cancel()


class Switchboard:
    """Connects links by addresses, as far as nobody has cut the connection. For the loop only,
    except what says so."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network
        self._listeners: list[Listener] = []
        self._connectors: list[Connector] = []
        self._lock = threading.Lock()
        """Guards the list of connectors."""
        self._cut: dict[frozenset[str], tuple[MemoryLink, MemoryLink]] = {}
        self._port = _FIRST_FREE_PORT

    # -- listening

    def join(self, link: Subscriber) -> None:
        """Let a link be reached by its name."""
        link.on_disconnect.add_internal(lambda conn_id: self._on_disconnect(link, conn_id))
        self.listen(Listener(link, address_of(link.name), is_tls=False))

    def listen(self, listener: Listener) -> Address:
        """Let a link be reached at an address, and return it. Raises ``OSError`` if another one
        is."""
        address = listener.address = normal(listener.address)
        if not isinstance(address, str) and address[1] == 0:
            address = listener.address = address[0], self._port
            self._port += 1
        if any(known.answers(address) for known in self._listeners):
            raise OSError(errno.EADDRINUSE, f"{os.strerror(errno.EADDRINUSE)}: {address!r}")
        self._listeners.append(listener)
        self._dial_all()
        return address

    def stop_listening(self, link: Subscriber, address: Address) -> None:
        """Undo :meth:`listen`. Raises ``KeyError`` if the link does not listen there."""
        for listener in self._listeners:
            if listener.link is link and listener.address == normal(address):
                self._listeners.remove(listener)
                return
        raise KeyError(f"there is no listener on {address!r}")

    # -- dialling

    def add_connector(self, connector: Connector) -> Address:
        """Dial, now and again. Thread-safe. Raises ``ValueError`` if the link does so already."""
        address = connector.address = normal(connector.address)
        with self._lock:
            if any(known.address == address for known in self._connectors_of(connector.link)):
                raise ValueError(f"there is a connector to {address!r} already")
            self._connectors.append(connector)
        connector.link.call_from_thread(lambda: self._dial(connector))
        return address

    def remove_connector(self, link: Subscriber, address: Address) -> None:
        """Close a connector and its connection. Raises ``KeyError`` if there is none."""
        for connector in self._connectors_of(link):
            if connector.address == normal(address):
                self._close(connector)
                if connector.conn_id in link.connections:
                    link.close(str(connector.conn_id))
                return
        raise KeyError(f"there is no connector to {address!r}")

    def forget(self, link: Subscriber) -> None:
        """Remove all listeners and connectors of a link."""
        self._listeners = [known for known in self._listeners if known.link is not link]
        for connector in self._connectors_of(link):
            self._close(connector)

    def _close(self, connector: Connector) -> None:
        connector.close()
        with self._lock:
            self._connectors.remove(connector)

    def _connectors_of(self, link: Subscriber) -> list[Connector]:
        return [connector for connector in self._connectors if connector.link is link]

    def _dial_all(self) -> None:
        for connector in self._connectors.copy():
            self._dial(connector)

    def _dial(self, connector: Connector) -> None:
        link = connector.link
        if connector.timer is not None:
            connector.timer.cancel()
            connector.timer = None
        if connector.is_closed or connector.conn_id in link.connections:
            return
        listener = next(self._reached(connector), None)
        if listener is None:
            connector.failed("nobody listens there")
        elif frozenset((link.name, listener.link.name)) in self._cut:
            connector.failed("the network is cut there")
        elif listener.is_tls is not connector.is_tls:
            connector.failed("one side does TLS and the other does not")
        else:
            try:
                ids = self._network.connect(link, listener.link, ident=connector.ident)
            except OSError as exc:
                connector.failed(str(exc))
            else:
                connector.connected(ids[0])

    def _reached(self, connector: Connector) -> Iterator[Listener]:
        return (known for known in self._listeners if known.answers(connector.address))

    def _on_disconnect(self, link: Subscriber, conn_id: str) -> None:
        for connector in self._connectors_of(link):
            if connector.conn_id == conn_id:
                connector.timer = link.call_later(
                    connector.interval, partial(self._dial, connector)
                )

    # -- faults

    def cut(self, a: MemoryLink, b: MemoryLink, *, silently: bool) -> None:
        """See :meth:`PeerNetwork.cut`."""
        pair = frozenset((a.name, b.name))
        self._cut[pair] = a, b
        if silently:
            self._network.partition(a, b)
            return
        for conn_id in a.connections:
            if self._network.other_side(conn_id) == b.name:
                self._network.disconnect(conn_id)

    def heal(self, a: str, b: str) -> None:
        """See :meth:`PeerNetwork.heal`."""
        links = self._cut.pop(frozenset((a, b)), None)
        if links is not None:
            self._network.heal(*links)
            self._dial_all()
