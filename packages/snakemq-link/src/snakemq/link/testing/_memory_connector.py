"""Dialling, and dialling again: what a connector of a Link does, for links in memory."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Protocol

from ._memory_link import MemoryLink
from ._pipe import Latency

if TYPE_CHECKING:
    from snakemq.link import TimerHandle


class Network(Protocol):
    """What a connector needs of its network."""

    random: Random

    @property
    def links(self) -> Mapping[str, MemoryLink]: ...
    def connect(
        self, a: MemoryLink, b: MemoryLink, *, ident: str | None = None
    ) -> tuple[str, str]: ...


class MemoryConnector:
    """Keeps a link connected to the owner of a name. See :meth:`MemoryNetwork.keep_connected`.

    It dials at once, and again after ``interval`` when the connection is gone or could not be made,
    because nobody has the name now or because of a partition. It ends with its link.
    """

    def __init__(
        self,
        network: Network,
        link: MemoryLink,
        name: str,
        interval: Latency,
        ident: str | None = None,
    ) -> None:
        self.name = name
        """The address of the link that is dialled."""
        self.interval = interval
        """Seconds between two attempts, or the bounds to draw them from."""
        self.conn_id: str | None = None
        """The id that the last connection has, or had, on this side."""
        self.attempts: int = 0
        """How many times it has dialled."""
        self.ident = ident
        """The only peer that may be there, see :meth:`Link.add_connector`."""
        self._network = network
        self._link = link
        self._timer: TimerHandle | None = None
        link.on_disconnect.add_internal(self._on_disconnect)
        self._look()

    def close(self) -> None:
        """Stop dialling. An existing connection stays."""
        self._link.on_disconnect.remove(self._on_disconnect)
        if self._timer is not None:
            self._timer.cancel()

    def _on_disconnect(self, conn_id: str) -> None:
        if conn_id == self.conn_id:
            self._plan()

    def _plan(self) -> None:
        if self._timer is None:
            interval = self.interval
            if isinstance(interval, tuple):
                interval = self._network.random.uniform(*interval)
            self._timer = self._link.call_later(interval, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.conn_id in self._link.connections:
            return
        self.attempts += 1
        other = self._network.links.get(self.name)
        if other is not None:
            try:
                self.conn_id = self._network.connect(self._link, other, ident=self.ident)[0]
            except OSError:
                self.conn_id = None
        # Always look again: a connection that breaks before on_connect is never reported.
        self._plan()
