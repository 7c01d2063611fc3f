"""A link in memory that has what a peer needs of a link."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from snakemq.callbacks import Callback, Event
from snakemq.exceptions import LoopError
from snakemq.link import Address, SSLConfig
from snakemq.link.testing import MemoryNetwork

from ._driver import Driver
from ._subscriber import Subscriber
from ._switchboard import Connector, Listener, Switchboard


class PeerLink(Subscriber):
    """A link in memory in the place of a :class:`~snakemq.link.Link`, as far as a peer needs it.

    Methods with the names of those of a Link do what these do.
    """

    on_closing: Event[[]] = Event()
    on_closed: Event[[]] = Event()

    def __init__(
        self, network: MemoryNetwork, driver: Driver, switchboard: Switchboard, name: str
    ) -> None:
        self._network = network
        self._driver = driver
        self._switchboard = switchboard
        self._is_closing = False
        self._opened = threading.Event()
        self._ended = threading.Event()
        super().__init__(network, name)
        self.on_closing = Callback()
        self.on_closed = Callback()
        self.wait_until = driver.wait_until

    # -- as a part of the network

    def wait_until_open(self) -> None:
        """Wait until others can reach it, which is when :meth:`loop` has begun: the layers above
        are complete then."""
        self._opened.wait()

    # -- addresses

    def add_listener(self, address: Address, ssl_config: SSLConfig | None = None) -> Address:
        self._check_usable()
        return self._switchboard.listen(Listener(self, address, is_tls=ssl_config is not None))

    def del_listener(self, address: Address) -> None:
        self._switchboard.stop_listening(self, address)

    def add_connector(
        self,
        address: Address,
        reconnect_interval: float | None = None,
        ssl_config: SSLConfig | None = None,
        *,
        ident: str | None = None,
    ) -> Address:
        self._check_usable()
        connector = Connector(
            self, address, is_tls=ssl_config is not None, interval=reconnect_interval, ident=ident
        )
        return self._switchboard.add_connector(connector)

    def del_connector(self, address: Address) -> None:
        self._switchboard.remove_connector(self, address)

    # -- threads

    def wakeup_poll(self) -> None:
        super().wakeup_poll()
        self._driver.ring()

    def run_if_idle(self, func: Callable[[], object]) -> bool:
        return False  # the thread of the network may run it at any time

    # -- the loop, and its end

    def loop(self) -> None:
        """Let others reach this link, and wait for the end: the thread of the network does all that
        happens between."""
        self._driver.strangers.ignore()
        with suppress(LoopError):  # the network is closed already
            self._driver.call(lambda: self._switchboard.join(self))
        self._opened.set()
        self._ended.wait()

    def fileno(self) -> int:
        raise OSError("a link in memory has no file descriptor")

    def stop(self) -> None:
        self._ended.set()

    def cleanup(self) -> None:
        if self.in_loop():
            self._close_all()
        elif not self.gone:
            try:
                self._driver.call(lambda: self.call_from_thread(self._close_all))
            except LoopError:  # the network has ended before
                self._close_all()

    def _check_usable(self) -> None:
        if self._is_closing:
            raise LoopError("this link was cleaned up; make a new one")

    def _close_all(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self.machine.call(self.on_closing)
        self._switchboard.forget(self)
        for conn_id in self.connections:
            if conn_id in self.connections:  # a callback may have closed it
                self.close(conn_id)
        self.machine.call(self.on_closed)
        self._network.crash(self)
        self._opened.set()  # nobody needs to wait for that any more
        self._ended.set()
