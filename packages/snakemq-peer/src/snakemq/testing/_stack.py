"""The layers of a peer on a network in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import cast

from snakemq.link import Link
from snakemq.link.testing import MemoryNetwork
from snakemq.messaging import Messaging
from snakemq.peer._handling import Handler
from snakemq.peer._iteration import Row
from snakemq.peer._options import Options
from snakemq.peer._received import Desk, ReceivedMessage
from snakemq.peer._stack import Stack

from ._driver import Driver
from ._link import PeerLink
from ._switchboard import Switchboard


class Ground:
    """What all peers of a network stand on."""

    def __init__(self) -> None:
        self.stacks: list[MemoryStack] = []
        """Those that are open."""
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

    def find(self, name: str) -> PeerLink:
        """Return the link of an open peer. Raises ``KeyError``."""
        link = self._links.get(name)
        if link is None or link.gone:
            raise KeyError(f"there is no open peer {name!r} on this network")
        return link

    def _count_working(self, blocked: Collection[threading.Thread]) -> int:
        return sum(stack.count_working(blocked) for stack in self.stacks.copy())


class AtOnce:
    """Makes the calls of a storage in the loop, so that a test knows when they are done."""

    def run(self, job: Callable[[], object]) -> None:
        job()

    def wait(self, timeout: float) -> bool:
        return True

    def end(self) -> None: ...


class MemoryMessaging(Messaging):
    """A messaging without a thread for each storage."""

    _runner_of = staticmethod(lambda storage: AtOnce())


class TrackedRow(Row):
    """Knows the threads that take messages. They work except while they wait."""

    def __init__(self, desk: Desk, link: PeerLink) -> None:
        super().__init__(desk)
        self.working: set[threading.Thread] = set()
        self._link = link

    def take(self, timeout: float | None = None) -> ReceivedMessage | None:
        self.working.add(threading.current_thread())
        end = None if timeout is None else self._link.time() + timeout
        while not self._is_over:
            left = None if end is None else max(0.0, end - self._link.time())
            if not self._link.wait_until(lambda: not self._row.empty(), left):
                return None
            # Another thread may have been faster.
            if (message := super().take(0.0)) is not None:
                return message
        return None

    def leave(self) -> None:
        self.working.discard(threading.current_thread())
        self._link.wakeup_poll()

    def end(self) -> None:
        super().end()
        self._link.wakeup_poll()


class MemoryStack(Stack):
    """The layers of a peer, with a link in memory, and nothing that happens unseen."""

    MessagingType = MemoryMessaging

    def __init__(self, ground: Ground, options: Options) -> None:
        self._memory_link = link = ground.link(options.ident)
        super().__init__(options)
        ground.driver.call(link.open)
        ground.stacks.append(self)
        link.on_closed.add_internal(lambda: ground.stacks.remove(self))

    def make_link(self) -> Link:
        return cast("Link", self._memory_link)  # it has all that a peer needs of one

    def make_row(self, desk: Desk) -> Row:
        self._tracked = TrackedRow(desk, self._memory_link)
        return self._tracked

    def handle(self, handler: Handler) -> None:
        super().handle(handler)
        if self.handler is not None:
            # Not only when it takes its first message: somebody may wait for it before.
            self._tracked.working.add(self.handler.thread)

    def count_working(self, blocked: Collection[threading.Thread]) -> int:
        """Return how many threads have something to do and are not among the ``blocked``."""
        working = self._tracked.working.difference(blocked)
        # A thread that has left its loop by an exception may not have said so.
        count = sum(thread.is_alive() for thread in working)
        if self.calls is not None and self.calls.has_server:
            server = self.calls.server
            count += server.unfinished - len(
                server.busy_threads().intersection(thread.ident for thread in blocked)
            )
        return count
