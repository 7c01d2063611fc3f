"""What all peers of a network stand on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from snakemq.link.testing import MemoryNetwork

from ._driver import Driver
from ._link import PeerLink
from ._switchboard import Switchboard

CountWorking = Callable[[Collection[threading.Thread]], int]


class Ground:
    """What all peers of a network stand on."""

    def __init__(self) -> None:
        self._counts: dict[PeerLink, CountWorking] = {}
        self._links: dict[str, PeerLink] = {}
        self.network = MemoryNetwork(at_once=True)
        self.switchboard = Switchboard(self.network)
        self.driver = Driver(self.network, self._count_working)

    def link(self, name: str) -> PeerLink:
        """Make a link. Raises ``ValueError`` if the name is taken."""
        driver = self.driver
        link = driver.call(lambda: PeerLink(self.network, driver, self.switchboard, name))
        self._links[name] = link
        return link

    def watch(self, link: PeerLink, count_working: CountWorking) -> None:
        """Ask a peer, until its link is gone, how many of its threads have something to do and are
        not among the blocked ones."""
        self._counts[link] = count_working
        link.on_closed.add_internal(lambda: self._counts.pop(link, None))

    def clean_up(self) -> None:
        """Close the links of peers that nobody has closed."""
        for link in self.open_links():
            link.cleanup()

    def open_links(self) -> list[PeerLink]:
        """Return the links of the peers that are open."""
        return [link for link in self._links.copy().values() if not link.gone]

    def find(self, name: str) -> PeerLink:
        """Return the link of an open peer. Raises ``KeyError``."""
        link = self._links.get(name)
        if link is None or link.gone:
            raise KeyError(f"there is no open peer {name!r} on this network")
        return link

    def _count_working(self, blocked: Collection[threading.Thread]) -> int:
        return sum(count(blocked) for count in self._counts.copy().values())
